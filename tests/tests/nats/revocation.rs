//! What is revoked at one gateway, at all of them: at once, later, after restarts, and where one is cut off.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::proxy::Proxy;
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{
    LIMIT, builder, call, connect, done, expect, is_temporary, metric, publish, wait_bus, wait_names,
};

const CONFIG: &str = "
tokens: [{name: backend, hmac_secrets: [of the backend]}]
rooms:
  default: {subscribe: anyone, publish: anyone, degraded: local}
  namespaces:
  - {name: staff, subscribe: users, publish: users, degraded: local}
";
/// A call that waits for it is answered within the time that tests give one.
const SHORT_LEASE: &str = "revocation: {lease: 3s}\n";
const BUCKET: &str = "KV_scenario_revocations";
const ROOM: &str = "staff:room";
/// Connections of the one who is revoked.
const CONNECTIONS: usize = 50;
/// When its tokens were issued, and a newer one.
const BEFORE: u64 = 1_000;
const AFTER: u64 = 2_000;

fn token(user: &str, issued_at: u64) -> Result<String> {
    install_crypto();
    let claims = json!({ "sub": user, "iat": issued_at, "jti": format!("{user}-{issued_at}") });
    let key = EncodingKey::from_secret(b"of the backend");
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

async fn start(name: &str, nats: &str) -> Result<Gateway> {
    start_with(name, nats, "").await
}

async fn start_with(name: &str, nats: &str, more: &str) -> Result<Gateway> {
    let config = format!("{CONFIG}{more}");
    let gateway = builder(name, nats, &config).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

async fn three(nats: &NatsServer) -> Result<[Gateway; 3]> {
    let url = nats.url();
    let (a, b, c) = tokio::try_join!(start("a", &url), start("b", &url), start("c", &url))?;
    Ok([a, b, c])
}

/// A client that came in with a token, in the room.
async fn member(gateway: &Gateway, user: &str, issued_at: u64) -> Result<Client> {
    let request = json!({ "token": token(user, issued_at)? });
    let (mut client, _) = Client::connected(&gateway.ws_url(), request).await?;
    done(&mut client, json!({ "subscribe": { "channel": ROOM } })).await?;
    Ok(client)
}

/// So many of one user, spread over all gateways.
async fn crowd(gateways: &[Gateway], user: &str) -> Result<Vec<Client>> {
    let places = gateways.iter().cycle().take(CONNECTIONS);
    try_join_all(places.map(|gateway| member(gateway, user, BEFORE))).await
}

/// How a connection ends that begins with this token.
async fn refused(gateway: &Gateway, user: &str, issued_at: u64) -> Result<u16> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    let request = json!({ "token": token(user, issued_at)? });
    client.send(&json!({ "id": 1, "connect": request })).await?;
    Ok(client.close_frame().await?.0)
}

async fn all_closed(clients: &mut [Client], expected: u16) -> Result<()> {
    for client in clients {
        assert_eq!(client.close_frame().await?.0, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_user_is_out_everywhere_and_back_with_a_newer_token() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateways = three(&nats).await?;
    let mut bystander = member(&gateways[1], "bob", BEFORE).await?;
    let mut crowd = crowd(&gateways, "ann").await?;
    let rule = json!({ "user": "ann", "issued_before": AFTER });
    call(&gateways[0], "invalidate_user_tokens", rule).await?;
    all_closed(&mut crowd, 3500).await?;
    for gateway in &gateways {
        assert_eq!(refused(gateway, "ann", BEFORE).await?, 3500);
        member(gateway, "ann", AFTER).await?;
    }
    publish(&mut bystander, ROOM, json!("still here")).await?;
    expect(&mut bystander, ROOM, &json!("still here")).await
}

#[tokio::test]
async fn a_ban_ends_one_room_everywhere_and_nothing_else() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateways = three(&nats).await?;
    let mut crowd = crowd(&gateways, "ann").await?;
    call(
        &gateways[0],
        "ban_user",
        json!({ "user": "ann", "channel": ROOM }),
    )
    .await?;
    // What is said once the ban is answered reaches none of them.
    publish(
        &mut member(&gateways[1], "bob", BEFORE).await?,
        ROOM,
        json!("secret"),
    )
    .await?;
    for client in &mut crowd {
        let push = client.push().await?;
        ensure!(
            push["channel"] == ROOM && push["unsubscribe"]["code"] == 2000,
            "{push}"
        );
        let reply = client
            .request(json!({ "subscribe": { "channel": ROOM } }))
            .await?;
        ensure!(reply["error"]["code"] == 103, "{reply}");
        done(client, json!({ "subscribe": { "channel": "staff:other" } })).await?;
        ensure!(
            client.waiting().all(|value| value["push"].get("pub").is_none()),
            "it was given what it must not have"
        );
    }
    call(
        &gateways[2],
        "unban_user",
        json!({ "user": "ann", "channel": ROOM }),
    )
    .await?;
    for client in &mut crowd {
        done(client, json!({ "subscribe": { "channel": ROOM } })).await?;
    }
    Ok(())
}

#[tokio::test]
async fn rules_outlive_nats_and_gateways() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateways = three(&nats).await?;
    let mut crowd = crowd(&gateways, "ann").await?;
    let rule = json!({ "user": "eve", "issued_before": AFTER });
    call(&gateways[0], "invalidate_user_tokens", rule).await?;
    nats.kill()?;
    for gateway in &gateways {
        wait_bus(gateway, "down").await?;
    }
    nats.restart().await?;
    for gateway in &gateways {
        wait_bus(gateway, "up").await?;
        assert_eq!(refused(gateway, "eve", BEFORE).await?, 3500);
    }
    // Clients of before are found as ever.
    let rule = json!({ "user": "ann", "issued_before": AFTER });
    call(&gateways[0], "invalidate_user_tokens", rule).await?;
    all_closed(&mut crowd, 3500).await?;
    // One that was not there knows them all.
    let newcomer = start("newcomer", &nats.url()).await?;
    for user in ["ann", "eve"] {
        assert_eq!(refused(&newcomer, user, BEFORE).await?, 3500);
        member(&newcomer, user, AFTER).await?;
    }
    Ok(())
}

/// Among themselves the members of a gateway that is cut off go on, but not where somebody may be kept out.
#[tokio::test]
async fn a_gateway_that_is_cut_off_gives_out_nothing_after_its_lease() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let a = start_with("a", &nats.url(), SHORT_LEASE).await?;
    let far = start_with("far", &format!("nats://{}", proxy.address()), SHORT_LEASE).await?;
    let (mut ann, mut bob) = (
        member(&far, "ann", BEFORE).await?,
        member(&far, "bob", BEFORE).await?,
    );
    let mut stranger = connect(&far).await?;
    done(&mut stranger, json!({ "subscribe": { "channel": "free" } })).await?;
    proxy.cut();
    wait_bus(&far, "down").await?;
    // The answer waits until the other is without a lease.
    call(&a, "block_user", json!({ "user": "ann" })).await?;
    let (_, state) = far.ready().await?;
    ensure!(state.contains(r#""revocations":"unknown""#), "{state}");
    let said = bob
        .request(json!({ "publish": { "channel": ROOM, "data": "secret" } }))
        .await?;
    ensure!(is_temporary(&said), "{said}");
    let said = far
        .api("publish", &json!({ "channel": ROOM, "data": "secret" }))
        .await?;
    ensure!(said["error"]["code"] == 100, "{said}");
    for command in [
        json!({ "subscribe": { "channel": "staff:other" } }),
        json!({ "publish": { "channel": "staff:other", "data": 1 } }),
    ] {
        let reply = bob.request(command.clone()).await?;
        ensure!(is_temporary(&reply), "{command}: {reply}");
    }
    publish(&mut stranger, "free", json!("chat")).await?;
    expect(&mut stranger, "free", &json!("chat")).await?;
    ensure!(metric(&far, "natter_revocations_current", &[]).await? < 0.5);

    proxy.resume();
    assert_eq!(ann.close_frame().await?.0, 3503);
    ensure!(
        ann.waiting().all(|value| value["push"].get("pub").is_none()),
        "it was given something"
    );
    wait_bus(&far, "up").await?;
    publish(&mut bob, ROOM, json!("back")).await?;
    expect(&mut bob, ROOM, &json!("back")).await
}

/// A gateway that has only just begun has not heard of one that is cut off; the others have.
#[tokio::test]
async fn a_newcomer_waits_for_one_that_only_others_know() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let a = start_with("a", &nats.url(), SHORT_LEASE).await?;
    let far = start_with("far", &format!("nats://{}", proxy.address()), SHORT_LEASE).await?;
    wait_names(&a, &["a", "far"], LIMIT).await?;
    let mut ann = member(&far, "ann", BEFORE).await?;
    let mut bob = member(&a, "bob", BEFORE).await?;
    proxy.pause();
    let newcomer = start_with("newcomer", &nats.url(), SHORT_LEASE).await?;
    wait_names(&newcomer, &["a", "newcomer"], LIMIT).await?;
    call(&newcomer, "block_user", json!({ "user": "ann" })).await?;
    // It is answered once the other gives out nothing any more.
    publish(&mut bob, ROOM, json!("secret")).await?;
    expect(&mut bob, ROOM, &json!("secret")).await?;
    proxy.resume();
    assert_eq!(ann.close_frame().await?.0, 3503);
    ensure!(
        ann.waiting().all(|value| value["push"].get("pub").is_none()),
        "it was given something"
    );
    Ok(())
}

/// Nothing to keep rules in: nobody is kept waiting for them, and whoever calls is told.
#[tokio::test]
async fn without_jetstream_nothing_can_be_revoked_and_all_goes_on() -> Result<()> {
    let nats = NatsServer::start().await?;
    let gateway = start("gateway", &nats.url()).await?;
    let mut bob = member(&gateway, "bob", BEFORE).await?;
    let answer = gateway.api("block_user", &json!({ "user": "bob" })).await?;
    ensure!(answer["error"]["code"] == 108, "{answer}");
    publish(&mut bob, ROOM, json!(1)).await?;
    expect(&mut bob, ROOM, &json!(1)).await
}

/// By hand or by accident: what gateways know they keep anew, and who comes later knows it as well.
#[tokio::test]
async fn a_store_that_is_lost_is_filled_again() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateway = start("gateway", &nats.url()).await?;
    call(&gateway, "block_user", json!({ "user": "ann" })).await?;
    let client = async_nats::connect(nats.url()).await?;
    let subject = "$JS.API.STREAM.DELETE.KV_scenario_revocations";
    client.request(subject, "".into()).await?;
    eventually("a newcomer knows the rule", LIMIT, async || {
        let newcomer = start("newcomer", &nats.url()).await?;
        let code = refused(&newcomer, "ann", AFTER).await;
        ensure!(matches!(code, Ok(3503)), "{code:?}");
        Ok(())
    })
    .await?;
    assert_eq!(refused(&gateway, "ann", AFTER).await?, 3503);
    let listed: Value = call(&gateway, "revocations", json!({})).await?;
    ensure!(listed["total"] == 1, "{listed}");
    Ok(())
}

/// Just these users, at all of them.
async fn are_blocked(gateways: &[&Gateway], users: &[String]) -> Result<()> {
    eventually("all gateways know them all", LIMIT, async || {
        for gateway in gateways {
            are_blocked_now(gateway, users).await?;
        }
        anyhow::Ok(())
    })
    .await
}

async fn are_blocked_now(gateway: &Gateway, users: &[String]) -> Result<()> {
    let listed = call(gateway, "revocations", json!({})).await?;
    ensure!(listed["total"] == users.len(), "{listed}");
    for user in users {
        let code = refused(gateway, user, AFTER).await;
        ensure!(matches!(code, Ok(3503)), "{user}: {code:?}");
    }
    Ok(())
}

fn names(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}")).collect()
}

async fn block(gateway: &Gateway, users: &[String]) -> Result<()> {
    for user in users {
        call(gateway, "block_user", json!({ "user": user })).await?;
    }
    Ok(())
}

/// A volume is restored, and its numbers are given again before the gateway that knew more comes back.
#[tokio::test]
async fn a_store_that_was_set_back_and_has_grown_again_loses_nothing() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let far = start_with("far", &format!("nats://{}", proxy.address()), SHORT_LEASE).await?;
    let [before, lost, since] = ["before", "lost", "since"].map(|name| names(name, 3));
    block(&far, &before).await?;
    nats.stop().await?;
    nats.save_store()?;
    nats.restart().await?;
    wait_bus(&far, "up").await?;
    block(&far, &lost).await?;
    // The end of a rule that the store goes on holding.
    let ended = &before[0];
    call(&far, "unblock_user", json!({ "user": ended })).await?;
    let mut members = Vec::new();
    for user in &since {
        members.push(member(&far, user, AFTER).await?);
    }
    proxy.cut();
    nats.kill()?;
    eventually("the server is gone", LIMIT, async || nats.restore_store()).await?;
    nats.restart().await?;
    let other = start_with("other", &nats.url(), SHORT_LEASE).await?;
    block(&other, &since).await?;
    proxy.resume();
    wait_bus(&far, "up").await?;
    for mut member in members {
        assert_eq!(member.close_frame().await?.0, 3503);
    }
    are_blocked(&[&far, &other], &[&before[1..], &lost, &since].concat()).await?;
    for gateway in [&far, &other] {
        eventually("the end of a rule holds again", LIMIT, async || {
            member(gateway, ended, AFTER).await.map(drop)
        })
        .await?;
    }
    Ok(())
}

/// A bucket that somebody made by hand.
async fn make_bucket(nats: &async_nats::Client, verb: &str, max_msgs: i64) -> Result<()> {
    let config = json!({
        "name": BUCKET,
        "subjects": ["$KV.scenario_revocations.>"],
        "storage": "file",
        "discard": "new",
        "max_msgs": max_msgs,
        "max_msgs_per_subject": 1,
        "allow_direct": true,
        "allow_msg_ttl": true,
    });
    let subject = format!("$JS.API.STREAM.{verb}.{BUCKET}");
    asked(nats, subject, config.to_string()).await
}

async fn asked(nats: &async_nats::Client, subject: String, body: String) -> Result<()> {
    let answer = nats.request(subject, body.into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer.get("error").is_none(), "{answer}");
    Ok(())
}

/// What the store does not take at first, it gets later.
#[tokio::test]
async fn a_refill_that_is_interrupted_goes_on() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let far = start("far", &format!("nats://{}", proxy.address())).await?;
    let users = names("user", 20);
    block(&far, &users).await?;
    let client = async_nats::connect(nats.url()).await?;
    proxy.cut();
    wait_bus(&far, "down").await?;
    asked(&client, format!("$JS.API.STREAM.DELETE.{BUCKET}"), String::new()).await?;
    make_bucket(&client, "CREATE", 5).await?;
    proxy.resume();
    eventually("the store is full", LIMIT, async || {
        let refused = far
            .logs()
            .iter()
            .any(|line| line.message().contains("could not be kept anew"));
        ensure!(refused, "it is not");
        Ok(())
    })
    .await?;
    make_bucket(&client, "UPDATE", -1).await?;
    a_newcomer_knows(&nats, &users).await
}

/// A gateway that begins now, or a later one, keeps all of them out.
async fn a_newcomer_knows(nats: &NatsServer, users: &[String]) -> Result<()> {
    eventually("who comes later knows them all", LIMIT, async || {
        let newcomer = start("newcomer", &nats.url()).await?;
        are_blocked_now(&newcomer, users).await
    })
    .await
}

/// No gateway has a use for that.
#[tokio::test]
async fn the_bucket_that_a_gateway_makes_cannot_be_purged() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let client = async_nats::connect(nats.url()).await?;
    let gateway = start("gateway", &nats.url()).await?;
    block(&gateway, &names("user", 1)).await?;
    let purged = asked(&client, format!("$JS.API.STREAM.PURGE.{BUCKET}"), String::new()).await;
    ensure!(purged.is_err(), "it was purged");
    Ok(())
}

/// Whoever makes it by hand may permit that; the stream counts on.
#[tokio::test]
async fn a_bucket_that_was_purged_is_filled_again() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let client = async_nats::connect(nats.url()).await?;
    make_bucket(&client, "CREATE", -1).await?;
    let gateway = start("gateway", &nats.url()).await?;
    let users = names("user", 3);
    block(&gateway, &users).await?;
    asked(&client, format!("$JS.API.STREAM.PURGE.{BUCKET}"), String::new()).await?;
    a_newcomer_knows(&nats, &users).await
}

/// It says nothing any more: its lease is waited for, and the call succeeds all the same.
#[tokio::test]
async fn a_killed_gateway_holds_no_call_up_for_longer_than_a_lease() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let a = start_with("a", &nats.url(), SHORT_LEASE).await?;
    let b = start_with("b", &nats.url(), SHORT_LEASE).await?;
    let killed = start_with("killed", &nats.url(), SHORT_LEASE).await?;
    wait_names(&a, &["a", "b", "killed"], LIMIT).await?;
    killed.kill()?;
    call(&a, "block_user", json!({ "user": "eve" })).await?;
    assert_eq!(refused(&b, "eve", AFTER).await?, 3503);
    call(&b, "unblock_user", json!({ "user": "eve" })).await?;
    member(&a, "eve", AFTER).await.map(drop)
}

/// A gateway that has left is not waited for: so it says that it leaves once nobody is served by it any more.
#[tokio::test]
async fn a_gateway_leaves_when_its_last_socket_is_gone() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let stays = start("stays", &nats.url()).await?;
    let leaves = builder("leaves", &format!("nats://{}", proxy.address()), CONFIG)
        // What NATS says comes late below, and must not be missed before the gateway leaves.
        .env("NATTER_BUS_NATS_PING_INTERVAL", "1m")
        .env("NATTER_DRAIN_DEADLINE", "1s")
        .env("NATTER_CLIENT_CLOSE_TIMEOUT", "1m")
        .start()
        .await?;
    wait_bus(&leaves, "up").await?;
    wait_names(&stays, &["leaves", "stays"], LIMIT).await?;
    // It never answers the close.
    let mut deaf = RawSocket::upgraded(leaves.public(), "/connection/websocket").await?;
    deaf.write_frame(&Frame::text("{\"id\":1,\"connect\":{}}"))
        .await?;
    deaf.read_frame().await?;
    // The end of the connection to NATS is waited for, as it would be where NATS is busy.
    proxy.delays(Duration::ZERO, LIMIT);
    leaves.terminate()?;
    wait_names(&stays, &["stays"], LIMIT).await?;
    // Who writes to a socket that is gone learns it by the second time.
    let is_gone = async {
        while deaf.write_frame(&Frame::new(9, "a")).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    // The bus is closed for two seconds before the process ends.
    timeout(Duration::from_millis(1_500), is_gone)
        .await
        .context("it has left, and still has a socket")
}

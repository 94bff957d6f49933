//! Who is in a room: commands, server API, joins and leaves, who may ask.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::scene::{LIMIT, Scene, connected, gateway, member, settle};

const CONFIG: &str = "client: {user_id_header: x-user, anonymous: allow}
rooms:
  default: {}
  namespaces:
  - {name: open, subscribe: anyone, presence: true, presence_read: anyone, join_leave: true}
  - {name: told, subscribe: anyone, presence: true, join_leave: true, force_push_join_leave: true}
  - {name: told-only, subscribe: anyone, join_leave: true}
  - {name: quiet, subscribe: anyone, presence: true, presence_read: server}
  - {name: small, subscribe: anyone, presence: true, presence_limit: 4, join_leave: true, force_push_join_leave: true}
";

/// A client of a user, and its id.
async fn user(gateway: &Gateway, name: &'static str) -> Result<(Client, String)> {
    let mut request = gateway.ws_url().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("x-user", HeaderValue::from_static(name));
    let mut client = Client::open(request).await?;
    let reply = client.request(json!({ "connect": {} })).await?;
    let id = reply["connect"]["client"].as_str().context("no id")?;
    Ok((client, id.to_owned()))
}

async fn join(client: &mut Client, channel: &str) -> Result<()> {
    let reply = client
        .request(json!({ "subscribe": { "channel": channel } }))
        .await?;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    Ok(())
}

async fn ask(client: &mut Client, command: &str, channel: &str) -> Result<Value> {
    let reply = client.request(json!({ command: { "channel": channel } })).await?;
    Ok(reply.get(command).unwrap_or(&reply).clone())
}

fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_default()
}

/// The next joins and leaves in a room: `+ann`, `-bob`, in any order.
async fn told(client: &mut Client, channel: &str, count: usize) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for _ in 0..count {
        let push = client.push().await.with_context(|| format!("{names:?} so far"))?;
        ensure!(push["channel"] == channel, "{push}");
        let (sign, info) = match (&push["join"], &push["leave"]) {
            (Value::Null, leave) => ("-", &leave["info"]),
            (join, _) => ("+", &join["info"]),
        };
        ensure!(info["client"].as_str().is_some_and(|id| id.len() == 36), "{push}");
        let name = format!("{sign}{}", info["user"].as_str().context("no user")?);
        ensure!(names.insert(name), "{push} came twice");
    }
    Ok(names)
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn members_ask_who_is_there() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let (mut ann, first) = user(&gateway, "ann").await?;
    let (mut again, second) = user(&gateway, "ann").await?;
    let (mut bob, third) = user(&gateway, "bob").await?;
    for client in [&mut ann, &mut again] {
        join(client, "open:a").await?;
    }
    let expected = json!({ "presence": {
        &first: { "user": "ann", "client": first },
        &second: { "user": "ann", "client": second },
    } });
    for command in 0..2 {
        assert_eq!(ask(&mut ann, "presence", "open:a").await?, expected, "{command}");
    }
    assert_eq!(ask(&mut bob, "presence", "open:a").await?, expected);
    assert_eq!(
        gateway.api("presence", &json!({ "channel": "open:a" })).await?["result"],
        expected
    );

    join(&mut bob, "open:a").await?;
    let stats = json!({ "num_clients": 3, "num_users": 2 });
    assert_eq!(ask(&mut bob, "presence_stats", "open:a").await?, stats);
    assert_eq!(
        gateway
            .api("presence_stats", &json!({ "channel": "open:a" }))
            .await?["result"],
        stats
    );
    let reply = again
        .request(json!({ "unsubscribe": { "channel": "open:a" } }))
        .await?;
    ensure!(reply.get("unsubscribe").is_some(), "{reply}");
    drop(ann);
    let alone = json!({ "presence": { &third: { "user": "bob", "client": third } } });
    eventually("the others are gone", LIMIT, async || {
        let present = ask(&mut bob, "presence", "open:a").await?;
        ensure!(present == alone, "{present}");
        Ok(())
    })
    .await?;
    drop(bob);
    let nobody = json!({ "presence": {} });
    eventually("nobody is there", LIMIT, async || {
        let answer = gateway.api("presence", &json!({ "channel": "open:a" })).await?;
        ensure!(answer["result"] == nobody, "{answer}");
        Ok(())
    })
    .await?;
    let stats = gateway
        .api("presence_stats", &json!({ "channel": "open:a" }))
        .await?;
    assert_eq!(stats["result"], json!({ "num_clients": 0, "num_users": 0 }));
    Ok(())
}

#[tokio::test]
async fn who_may_not_ask_is_told_why() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut client = connected(gateway).await?;
    for command in ["presence", "presence_stats"] {
        for (channel, expected) in [
            ("plain", 108),
            ("told-only:a", 108),
            ("told:a", 103),
            ("quiet:a", 103),
            ("unknown:a", 102),
            ("no\u{fc}", 107),
        ] {
            let reply = ask(&mut client, command, channel).await?;
            assert_eq!(code(&reply), expected, "{command} {channel}: {reply}");
        }
        for (channel, expected) in [("plain", 108), ("unknown:a", 102), ("", 107)] {
            let reply = gateway.api(command, &json!({ "channel": channel })).await?;
            assert_eq!(code(&reply), expected, "{command} {channel}: {reply}");
        }
    }
    let (mut ann, _) = user(gateway, "ann").await?;
    join(&mut ann, "quiet:a").await?;
    assert_eq!(code(&ask(&mut ann, "presence", "quiet:a").await?), 103);
    let answer = gateway
        .api("presence_stats", &json!({ "channel": "quiet:a" }))
        .await?;
    assert_eq!(answer["result"], json!({ "num_clients": 1, "num_users": 1 }));

    let watch = scene.watch().await?;
    client.send(&json!({ "id": 9, "presence": {} })).await?;
    assert_eq!(client.close_frame().await?.0, 3501);
    watch
        .counted("natter_protocol_errors_total", &[("kind", "missing_channel")], 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_room_of_named_users_is_seen_by_them_and_by_whom_the_server_let_in() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let (mut ann, _) = user(&gateway, "ann").await?;
    let (mut cid, id) = user(&gateway, "cid").await?;
    join(&mut ann, "open:dialog#ann,bob").await?;
    for command in ["presence", "presence_stats"] {
        let reply = ask(&mut ann, command, "open:dialog#ann,bob").await?;
        ensure!(reply.get("error").is_none(), "{reply}");
        let reply = ask(&mut cid, command, "open:dialog#ann,bob").await?;
        assert_eq!(code(&reply), 103, "{command}: {reply}");
    }
    let order = json!({ "user": "cid", "client": id, "channel": "open:dialog#ann,bob" });
    gateway.api("subscribe", &order).await?;
    cid.push().await?;
    let stats = ask(&mut cid, "presence_stats", "open:dialog#ann,bob").await?;
    assert_eq!(stats["num_clients"], 2, "{stats}");
    Ok(())
}

#[tokio::test]
async fn what_a_backend_says_anew_of_a_client_is_seen_and_not_told() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let (mut ann, id) = user(&gateway, "ann").await?;
    join(&mut ann, "told:a").await?;
    assert_eq!(told(&mut ann, "told:a", 1).await?, set(["+ann"]));
    for (info, expected) in [
        (json!({ "name": "Ann" }), json!({ "name": "Ann" })),
        // Too long for every gateway to keep.
        (json!("x".repeat(17 * 1024)), Value::Null),
    ] {
        let order = json!({ "user": "ann", "client": id, "expire_at": 0, "info": info });
        gateway.api("refresh", &order).await?;
        ensure!(ann.push().await?.get("refresh").is_some());
        let present = ask(&mut ann, "presence", "told:a").await?;
        assert_eq!(present["presence"][&id]["conn_info"], expected, "{present}");
    }
    settle(&mut ann).await?;
    ensure!(ann.waiting().next().is_none(), "nobody joined");
    Ok(())
}

#[tokio::test]
async fn members_are_told_who_joins_and_leaves() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let (mut ann, _) = user(&gateway, "ann").await?;
    let (mut bob, _) = user(&gateway, "bob").await?;
    let (mut cid, _) = user(&gateway, "cid").await?;
    let wants = json!({ "subscribe": { "channel": "open:a", "join_leave": true } });
    ann.request(wants).await?;
    assert_eq!(told(&mut ann, "open:a", 1).await?, set(["+ann"]));
    join(&mut bob, "open:a").await?;
    assert_eq!(told(&mut ann, "open:a", 1).await?, set(["+bob"]));
    bob.request(json!({ "unsubscribe": { "channel": "open:a" } }))
        .await?;
    assert_eq!(told(&mut ann, "open:a", 1).await?, set(["-bob"]));
    // Bob did not ask; he is told where everybody is.
    settle(&mut bob).await?;
    ensure!(bob.waiting().next().is_none());
    join(&mut bob, "told:a").await?;
    assert_eq!(told(&mut bob, "told:a", 1).await?, set(["+bob"]));
    join(&mut cid, "told:a").await?;
    for client in [&mut bob, &mut cid] {
        assert_eq!(told(client, "told:a", 1).await?, set(["+cid"]));
    }
    drop(cid);
    assert_eq!(told(&mut bob, "told:a", 1).await?, set(["-cid"]));
    // Without presence joins are told all the same.
    let wants = json!({ "subscribe": { "channel": "told-only:a", "join_leave": true } });
    bob.request(wants).await?;
    assert_eq!(told(&mut bob, "told-only:a", 1).await?, set(["+bob"]));
    settle(&mut ann).await?;
    ensure!(ann.waiting().next().is_none());
    Ok(())
}

#[tokio::test]
async fn a_room_over_its_limit_is_only_counted() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(member(&gateway, "small:a").await?);
    }
    let (mut ann, id) = user(&gateway, "ann").await?;
    let before = gateway.api("presence", &json!({ "channel": "small:a" })).await?;
    let listed = before["result"]["presence"].as_object().context("no list")?;
    assert_eq!(listed.len(), 4);
    join(&mut ann, "small:a").await?;
    let reply = ask(&mut ann, "presence", "small:a").await?;
    assert_eq!(code(&reply), 106, "{reply}");
    ensure!(
        reply["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("presence_limit"))
    );
    let reply = gateway.api("presence", &json!({ "channel": "small:a" })).await?;
    assert_eq!(code(&reply), 106, "{reply}");
    // Anonymous clients are one user.
    let stats = ask(&mut ann, "presence_stats", "small:a").await?;
    assert_eq!(stats, json!({ "num_clients": 5, "num_users": 2 }));
    settle(&mut ann).await?;
    ensure!(
        ann.waiting().next().is_none(),
        "nobody is told of a room that is too large"
    );
    members.drain(..3);
    eventually("the room is listed again", LIMIT, async || {
        let present = ask(&mut ann, "presence", "small:a").await?;
        ensure!(
            present["presence"].as_object().is_some_and(|all| all.len() == 2),
            "{present}"
        );
        ensure!(present["presence"][&id]["user"] == "ann", "{present}");
        Ok(())
    })
    .await
}

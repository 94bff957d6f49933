//! NATS goes away under traffic and comes back: connections stay, refusals are quick, temporary and counted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::node;
use natter_tests::proxy::Proxy;
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    LIMIT, builder, connect, expect, gateway, is_temporary, member, metric, publish, subscribe, wait_bus,
};
use crate::users;

/// Much longer than a refusal takes, much shorter than any time limit.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// What is asked while the bus is away is answered soon, by an error that says "later".
async fn refused_at_once(gateway: &Gateway, client: &mut Client) -> Result<()> {
    let began = Instant::now();
    for command in [
        json!({ "publish": { "channel": "room", "data": 1 } }),
        json!({ "subscribe": { "channel": "new" } }),
    ] {
        let reply = client.request(command.clone()).await?;
        ensure!(is_temporary(&reply), "{command} was answered by {reply}");
    }
    let answer = gateway
        .api("publish", &json!({ "channel": "room", "data": 1 }))
        .await?;
    ensure!(answer["error"]["code"] == 100, "{answer}");
    ensure!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_killed_nats_costs_no_client_its_connection() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let urls = format!("{},{}", a.ws_url(), b.ws_url());
    let script = node::start("sdk/survive.mjs", &[], &[("NATTER_URLS", &urls)])?;
    let progress = async |fits: &dyn Fn(&Value) -> bool| {
        script
            .expect_json(|line| line["event"] == "progress" && fits(line), LIMIT)
            .await
    };
    let refused = |line: &Value| line["refused"]["100"].as_u64().unwrap_or(0);
    let received = |line: &Value| line["received"][0].as_u64().unwrap_or(0);
    let mut before = 0;
    for _ in 0..2 {
        progress(&|line| {
            line["received"]
                .as_array()
                .is_some_and(|all| all[0].as_u64() > Some(10))
        })
        .await?;
        nats.kill()?;
        for gateway in [&a, &b] {
            assert_eq!(
                wait_bus(gateway, "down").await?,
                200,
                "a lost bus alone is no reason"
            );
        }
        before = refused(&progress(&|line| refused(line) > before + 10).await?);
        nats.restart().await?;
        for gateway in [&a, &b] {
            wait_bus(gateway, "up").await?;
        }
        // Traffic flows: the next report says that more was received than the one before.
        let now = progress(&|_| true).await?;
        progress(&|line| received(line) > received(&now)).await?;
    }
    script.send_line("stop")?;
    let summary = script
        .expect_json(|line| line["event"] == "summary", LIMIT)
        .await?;
    ensure!(
        summary["ok"] == true && summary["lostConnections"] == 0,
        "{summary}"
    );
    ensure!(summary["endings"] == json!([]), "{summary}");
    let slowest = summary["slowestAnswerMs"].as_u64().context("no figure")?;
    ensure!(
        u128::from(slowest) < AT_ONCE.as_millis(),
        "an answer took {slowest} ms"
    );

    let mut counted = 0.0;
    for gateway in [&a, &b] {
        let reason = [("reason", "bus_down"), ("room_namespace", "default")];
        counted += metric(gateway, "natter_publications_refused_total", &reason).await?;
        ensure!(metric(gateway, "natter_bus_reconnects_total", &[]).await? > 1.5);
        ensure!(metric(gateway, "natter_connections_total", &[]).await? < 2.5);
    }
    let told = summary["refused"]["100"]
        .as_f64()
        .context("nothing was refused")?;
    ensure!(
        (told - counted).abs() < 0.5,
        "{told} clients were told, {counted} were counted"
    );
    script.wait_success(LIMIT).await
}

#[tokio::test]
async fn without_nats_rooms_are_refused_and_members_stay() -> Result<()> {
    let nats = users::server().start().await?;
    let gateway = gateway("gateway", nats.url()).await?;
    let mut client = member(&gateway, "room").await?;
    nats.kill()?;
    wait_bus(&gateway, "down").await?;
    refused_at_once(&gateway, &mut client).await?;
    // A newcomer may connect and is told the same.
    let mut newcomer = connect(&gateway).await?;
    refused_at_once(&gateway, &mut newcomer).await?;
    let joins = [("result", "bus_down")];
    ensure!(metric(&gateway, "natter_bus_up", &[]).await? < 0.5);
    ensure!(
        gateway
            .metrics()
            .await?
            .value("natter_joins_total", &joins)
            .is_none(),
        "the bus was asked"
    );

    nats.restart().await?;
    wait_bus(&gateway, "up").await?;
    subscribe(&mut newcomer, "room").await?;
    publish(&mut newcomer, "room", json!("back")).await?;
    for client in [&mut client, &mut newcomer] {
        expect(client, "room", &json!("back")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_critical_bus_closes_the_door() -> Result<()> {
    let nats = users::server().start().await?;
    let gateway = builder("critical", &nats.url(), "  critical: true")
        .start()
        .await?;
    assert_eq!(wait_bus(&gateway, "up").await?, 200);
    let mut client = member(&gateway, "room").await?;
    nats.kill()?;
    assert_eq!(wait_bus(&gateway, "down").await?, 503);
    let (_, body) = gateway.ready().await?;
    ensure!(body.contains("bus_down"), "{body}");

    let mut socket = RawSocket::connect(gateway.public()).await?;
    socket.write(HANDSHAKE).await?;
    let head = socket.read_head().await?;
    ensure!(
        head.starts_with("HTTP/1.1 503 ") && head.to_lowercase().contains("retry-after: "),
        "{head}"
    );
    let refused = [("reason", "bus")];
    ensure!(metric(&gateway, "natter_connections_refused_total", &refused).await? > 0.5);
    refused_at_once(&gateway, &mut client).await?;

    nats.restart().await?;
    assert_eq!(wait_bus(&gateway, "up").await?, 200);
    let mut newcomer = member(&gateway, "room").await?;
    publish(&mut newcomer, "room", json!("open again")).await?;
    expect(&mut client, "room", &json!("open again")).await
}

/// A valid handshake (the key is the example of RFC 6455 section 1.3).
const HANDSHAKE: &[u8] = b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn a_gateway_is_not_ready_before_its_first_nats() -> Result<()> {
    let nats = users::server().start().await?;
    nats.kill()?;
    let gateway = builder("early", &nats.url(), "").start().await?;
    assert_eq!(wait_bus(&gateway, "connecting").await?, 503);
    let (_, body) = gateway.ready().await?;
    ensure!(body.contains("bus_connecting"), "{body}");
    let (alive, _) = gateway.get(&format!("{}/livez", gateway.ops_url())).await?;
    assert_eq!(alive, 200);
    refused_at_once(&gateway, &mut connect(&gateway).await?).await?;
    nats.restart().await?;
    assert_eq!(wait_bus(&gateway, "up").await?, 200);
    let mut client = member(&gateway, "room").await?;
    publish(&mut client, "room", json!("ready")).await?;
    expect(&mut client, "room", &json!("ready")).await
}

#[tokio::test]
async fn a_cut_and_a_black_hole_are_noticed_and_survived() -> Result<()> {
    let nats = users::server().start().await?;
    let link = Proxy::to_port(nats.port()).await?;
    let (near, far) = tokio::try_join!(
        gateway("near", nats.url()),
        gateway("far", format!("nats://{}", link.address()))
    )?;
    let mut publisher = connect(&near).await?;
    let mut client = member(&far, "room").await?;
    for (number, silent) in [false, true, false, true].into_iter().enumerate() {
        let skip = far.logs().len();
        let began = Instant::now();
        if silent {
            link.pause();
        } else {
            link.cut();
        }
        let lost = far.wait_log_after(skip, |line| line.message().contains("bus is down"), LIMIT);
        lost.await?;
        // The ping interval is 300 ms and the third ping without an answer ends a connection.
        let bound = 3 * Duration::from_millis(300) + AT_ONCE;
        ensure!(
            began.elapsed() < bound,
            "noticed after {:?}, silent: {silent}",
            began.elapsed()
        );
        refused_at_once(&far, &mut client).await?;
        assert_eq!(wait_bus(&near, "up").await?, 200, "the other gateway goes on");
        link.resume();
        wait_bus(&far, "up").await?;
        publish(&mut publisher, "room", json!(number)).await?;
        expect(&mut client, "room", &json!(number)).await?;
    }
    eventually("four reconnects are counted", LIMIT, async || {
        let reconnects = metric(&far, "natter_bus_reconnects_total", &[]).await?;
        ensure!((reconnects - 4.0).abs() < 0.5, "{reconnects}");
        Ok(())
    })
    .await
}

//! A gateway on every version: join, publish, a gap, a recovery, and what it says of the server.

use anyhow::{Context, Result};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use serde_json::{Value, json};

use crate::support::{LIMIT, Wire, builder, on_every_version};

on_every_version!(durable_rooms_work_and_the_server_is_supported);

const ROOMS: &str = "rooms:
  default: { subscribe: anyone, publish: anyone }
";
const DURABLE: &str = "  namespaces:
    - { name: chat, subscribe: anyone, publish: anyone, history: { size: 1000, read: anyone } }
";

async fn start(nats: &NatsServer, rooms: &str) -> Result<Gateway> {
    let config = format!(
        "api: {{ keys: [{API_KEY}] }}
bus: {{ prefix: c, linger: 0s, nats: {{ servers: ['{}'] }} }}
{rooms}",
        nats.url()
    );
    let gateway = Gateway::builder().config(&config).start().await?;
    gateway.wait_bus("up", LIMIT).await?;
    Ok(gateway)
}

async fn ready(gateway: &Gateway) -> Result<(u16, Value)> {
    let (status, body) = gateway.ready().await?;
    Ok((status, serde_json::from_str(&body)?))
}

async fn publish(gateway: &Gateway, room: &str, data: u64) -> Result<Value> {
    gateway
        .api("publish", &json!({ "channel": room, "data": data }))
        .await
}

async fn member(gateway: &Gateway, options: Value) -> Result<(Client, Value)> {
    let (mut client, _) = Client::connected(&gateway.ws_url(), json!({})).await?;
    client.set_limit(LIMIT);
    let mut request = options;
    request["channel"] = "chat:a".into();
    let reply = client.request(json!({ "subscribe": request })).await?;
    let joined = reply.get("subscribe").with_context(|| reply.to_string())?;
    Ok((client, joined.clone()))
}

async fn heard(client: &mut Client, count: u64) -> Result<Vec<u64>> {
    let mut heard = Vec::new();
    for _ in 0..count {
        let push = client.push().await?;
        heard.push(push["pub"]["data"].as_u64().with_context(|| push.to_string())?);
    }
    Ok(heard)
}

async fn durable_rooms_work_and_the_server_is_supported(version: &str) -> Result<()> {
    let nats = builder(version).start().await?;
    let gateway = start(&nats, &format!("{ROOMS}{DURABLE}")).await?;
    let (mut client, place) = member(&gateway, json!({ "recoverable": true })).await?;
    for number in 0..5 {
        publish(&gateway, "chat:a", number).await?;
    }
    assert_eq!(heard(&mut client, 5).await?, [0, 1, 2, 3, 4]);

    // Without live copies there is a gap, which shows when the next one comes.
    let wire = Wire::connect(&nats.url()).await?;
    let info = wire.api("STREAM.INFO", &json!(null)).await?;
    let mut mute = info["config"].clone();
    mute["republish"] = json!(null);
    let muted = wire.api("STREAM.UPDATE", &mute).await?;
    assert_eq!(muted.get("error"), None, "{muted}");
    for number in 5..8 {
        publish(&gateway, "chat:a", number).await?;
    }
    let heals = wire.api("STREAM.UPDATE", &info["config"]).await?;
    assert_eq!(heals.get("error"), None, "{heals}");
    publish(&gateway, "chat:a", 8).await?;
    assert_eq!(heard(&mut client, 4).await?, [5, 6, 7, 8]);

    let back =
        json!({ "recover": true, "recoverable": true, "epoch": place["epoch"], "offset": place["offset"] });
    let (_client, result) = member(&gateway, back).await?;
    assert_eq!(result["recovered"], true, "{result}");
    assert_eq!(
        result["publications"].as_array().map(Vec::len),
        Some(9),
        "{result}"
    );

    let (status, report) = ready(&gateway).await?;
    assert_eq!(status, 200);
    assert_eq!(
        report["nats"],
        json!({ "version": version, "support": "supported" })
    );
    let metrics = gateway.metrics().await?;
    assert_eq!(
        metrics.value("natter_nats_server_info", &[("version", version)]),
        Some(1.0)
    );
    assert_eq!(metrics.value("natter_nats_server_supported", &[]), Some(1.0));
    assert_eq!(
        metrics.value("natter_streams_ready", &[("room_namespace", "chat")]),
        Some(1.0)
    );
    Ok(())
}

/// The version that `scripts/setup` installs for this test.
const TOO_OLD: &str = "2.10.29";

#[tokio::test]
async fn durable_rooms_are_refused_before_2_11() -> Result<()> {
    let nats = builder(TOO_OLD).start().await?;
    let gateway = start(&nats, &format!("{ROOMS}{DURABLE}")).await?;
    let (status, report) = ready(&gateway).await?;
    assert_eq!(
        (status, &report["reasons"]),
        (503, &json!(["nats_too_old"])),
        "{report}"
    );
    assert_eq!(report["nats"]["support"], "too_old");
    assert_eq!(report["nats"]["version"], TOO_OLD);
    let said = |line: &natter_tests::gateway::LogLine| {
        line.message()
            .contains("NATS server 2.10.29 is too old for durable rooms")
    };
    gateway.wait_log(said, LIMIT).await?;
    assert_eq!(
        gateway
            .metrics()
            .await?
            .value("natter_nats_server_supported", &[]),
        Some(0.0)
    );
    let answer = publish(&gateway, "chat:a", 1).await?;
    assert_eq!(answer["error"]["code"], 100, "{answer}");
    // Liveness does not depend on it, and ephemeral rooms work.
    assert_eq!(gateway.get(&format!("{}/livez", gateway.ops_url())).await?.0, 200);
    let answer = publish(&gateway, "lobby", 1).await?;
    assert_eq!(answer["result"], json!({}), "{answer}");
    Ok(())
}

#[tokio::test]
async fn any_server_will_do_without_durable_rooms() -> Result<()> {
    let nats = builder(TOO_OLD).start().await?;
    let gateway = start(&nats, ROOMS).await?;
    let (status, report) = ready(&gateway).await?;
    assert_eq!((status, &report["reasons"]), (200, &json!([])), "{report}");
    assert_eq!(report["nats"]["support"], "too_old", "but it is said");
    assert!(
        !gateway
            .logs()
            .iter()
            .any(|line| line.message().contains("too old"))
    );
    Ok(())
}

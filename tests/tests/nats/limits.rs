//! What holds for a user or a room with connections at several gateways.

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{LIMIT, builder, connect, member, metric, user, wait_bus, wait_names};

const RATE: u32 = 10;
const ROOMS: &str = "rooms:
  namespaces:
    - { name: slow, subscribe: anyone, publish: anyone, publication_rate: 10 }
";

async fn pair(nats: &NatsServer) -> Result<[Gateway; 2]> {
    let start = async |name: &str| {
        let builder = builder(name, &nats.url(), ROOMS).env("NATTER_CLIENT_USER_CONNECTION_LIMIT", "4");
        let gateway = builder.start().await?;
        wait_bus(&gateway, "up").await?;
        anyhow::Ok(gateway)
    };
    let pair = [start("a").await?, start("b").await?];
    for gateway in &pair {
        wait_names(gateway, &["a", "b"], LIMIT).await?;
    }
    Ok(pair)
}

/// One more of Ann is closed with the code of the limit.
async fn is_refused(gateway: &Gateway) -> Result<()> {
    let mut request = gateway.ws_url().into_client_request()?;
    request.headers_mut().insert("x-user", "ann".parse()?);
    let mut client = Client::open(request).await?;
    client.send(&json!({ "id": 1, "connect": {} })).await?;
    let (code, reason) = client.close_frame().await?;
    ensure!(code == 3504, "{code} {reason}");
    Ok(())
}

#[tokio::test]
async fn connections_of_a_user_count_at_all_gateways() -> Result<()> {
    let nats = NatsServer::builder().start().await?;
    let [a, b] = pair(&nats).await?;
    let mut anns = Vec::new();
    for gateway in [&a, &a, &b, &b] {
        anns.push(user(gateway, "ann").await?);
    }
    is_refused(&a).await?;
    is_refused(&b).await?;
    let limited = [("limit", "user_connections")];
    ensure!((metric(&a, "natter_limited_total", &limited).await? - 1.0).abs() < 0.1);
    let _of_ben = user(&a, "ben").await?;
    // The place that becomes free at one gateway is free at the other.
    anns.pop().context("no client")?.close().await?;
    let again = eventually("there is a place again", LIMIT, async || user(&a, "ann").await).await?;
    is_refused(&a).await?;
    drop(again);
    Ok(())
}

/// All of these are said in one message; returns how many were not refused.
async fn say_at_once(client: &mut Client, count: u32) -> Result<u32> {
    let command = |id| json!({ "id": id, "publish": { "channel": "slow:a", "data": 1 } });
    let commands: Vec<_> = (1_000..1_000 + count).map(command).collect();
    client.send_batch(&commands).await?;
    let mut accepted = 0;
    for id in 1_000..1_000 + count {
        let reply = client.recv_where(|value| value["id"] == id).await?;
        accepted += u32::from(reply["error"]["code"] != 111);
    }
    Ok(accepted)
}

#[tokio::test]
async fn publications_of_a_room_count_where_it_has_members() -> Result<()> {
    let nats = NatsServer::builder().start().await?;
    let [a, b] = pair(&nats).await?;
    let mut listener = member(&b, "slow:a").await?;
    let (mut at_a, mut at_b) = (connect(&a).await?, connect(&b).await?);
    let began = Instant::now();
    let first = say_at_once(&mut at_a, 100).await?;
    ensure!(first >= 2 * RATE, "{first}");
    for _ in 0..first {
        listener.push().await?;
    }
    let second = say_at_once(&mut at_b, 100).await?;
    let most = f64::from(2 * RATE + 1) + f64::from(RATE) * began.elapsed().as_secs_f64();
    ensure!(
        f64::from(first + second) <= most,
        "{first} and {second}, of {most}"
    );
    Ok(())
}

//! A client that knows more than the gateway that it comes to.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);
const ROOM: &str = "log:a";

async fn gateway(name: &str, port: u16) -> Result<Gateway> {
    let config = format!(
        "api: {{ keys: [{API_KEY}] }}
bus: {{ prefix: ahead, nats: {{ servers: ['nats://127.0.0.1:{port}'], ping_interval: 1s }} }}
rooms:
  namespaces:
    - name: log
      subscribe: anyone
      publish: anyone
      history: {{ size: 1000, ttl: 10m, read: anyone, stream: {{ partitions: 1 }} }}
"
    );
    let gateway = Gateway::builder().name(name).config(&config).start().await?;
    gateway.wait_bus("up", LIMIT).await?;
    Ok(gateway)
}

/// Joins the room, at a position if there is one; gives the whole reply.
async fn join(client: &mut Client, epoch: &str, offset: Option<u64>) -> Result<Value> {
    let mut request = json!({ "channel": ROOM, "recoverable": true });
    if let Some(offset) = offset {
        request["recover"] = true.into();
        request["epoch"] = epoch.into();
        request["offset"] = offset.into();
    }
    client.request(json!({ "subscribe": request })).await
}

async fn connect(gateway: &Gateway) -> Result<Client> {
    Ok(Client::connected(&gateway.ws_url(), json!({})).await?.0)
}

async fn publish(gateway: &Gateway, text: &str) -> Result<()> {
    let reply = gateway
        .api("publish", &json!({ "channel": ROOM, "data": text }))
        .await?;
    ensure!(reply["result"]["offset"].is_u64(), "{reply}");
    Ok(())
}

/// Nothing is lost, so nothing is said to be: the join is refused for now, and succeeds when the stream can be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_ahead_of_its_gateway_recovers_and_gets_nothing_twice() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let link = Proxy::to_port(nats.port()).await?;
    let fast = gateway("fast", nats.port()).await?;
    let slow = gateway("slow", link.address().port()).await?;
    let mut stays = connect(&slow).await?;
    let joined = join(&mut stays, "", None).await?;
    let epoch = joined["subscribe"]["epoch"]
        .as_str()
        .context("no epoch")?
        .to_owned();

    link.cut();
    slow.wait_bus("down", LIMIT).await?;
    for text in ["1", "2", "3"] {
        publish(&fast, text).await?;
    }
    let mut client = connect(&slow).await?;
    let refused = join(&mut client, &epoch, Some(2)).await?;
    ensure!(
        refused["error"]["code"] == 100,
        "a gateway that cannot know answered {refused}"
    );

    link.resume();
    let joined = eventually("the join succeeds", LIMIT, async || {
        let reply = join(&mut client, &epoch, Some(2)).await?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
        anyhow::Ok(reply["subscribe"].clone())
    })
    .await?;
    ensure!(joined["recovered"] == true, "{joined}");
    publish(&fast, "4").await?;
    // By the answer or after it, but once.
    let answered = joined["publications"].as_array().into_iter().flatten();
    let mut offsets: Vec<_> = answered
        .map(|publication| publication["offset"].clone())
        .collect();
    while offsets.last() != Some(&json!(4)) {
        offsets.push(client.push().await?["pub"]["offset"].clone());
    }
    ensure!(offsets == [3, 4], "{offsets:?}");
    for offset in 1..=4 {
        let push = stays.push().await?;
        ensure!(push["pub"]["offset"] == offset, "{push}");
    }

    let mut liar = connect(&slow).await?;
    let joined = join(&mut liar, &epoch, Some(99)).await?;
    ensure!(joined["subscribe"]["was_recovering"] == true, "{joined}");
    ensure!(
        joined["subscribe"]["recovered"].is_null() && joined["subscribe"]["offset"] == 4,
        "{joined}"
    );
    publish(&fast, "5").await?;
    let push = liar.push().await?;
    ensure!(push["pub"]["offset"] == 5, "{push}");
    Ok(())
}

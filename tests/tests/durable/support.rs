//! What the modules of this suite share: gateways on either bus, and clients that say what they have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

/// The bound of a single wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// First token of every name at NATS.
pub(crate) const PREFIX: &str = "durable";

/// Who may do what in which namespace.
const ROOMS: &str = "rooms:
  default: { subscribe: anyone, publish: anyone }
  namespaces:
    - { name: log, subscribe: anyone, publish: anyone, history: { size: 1000, ttl: 10m, read: anyone } }
    - { name: short, subscribe: anyone, publish: anyone, history: { size: 100, ttl: 2s, read: anyone } }
    - { name: members, subscribe: anyone, publish: anyone, history: {} }
    - { name: closed, subscribe: anyone, publish: anyone, history: { read: server } }
    - { name: watched, subscribe: anyone, publish: anyone, history: { read: server, force_positioning: true } }
    - { name: recovery, subscribe: anyone, publish: anyone, history: { size: 100, ttl: 300s, read: anyone, force_recovery: true } }
    - { name: smallhistory, subscribe: anyone, publish: anyone, history: { size: 2, read: anyone, force_recovery: true } }
    - { name: brief, subscribe: anyone, publish: anyone, history: { ttl: 1s, read: anyone, force_recovery: true } }
    - { name: cache, subscribe: anyone, publish: anyone, history: { read: anyone, force_recovery: true, recovery_mode: cache } }
    - { name: tight, subscribe: anyone, publish: anyone, history: { size: 1000, read: anyone, stream: { max_bytes: 1MiB, discard: new } } }
";

/// Runs `async fn(&World) -> Result<()>` on the embedded bus and on NATS.
macro_rules! on_both_buses {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            use anyhow::Result;

            use crate::support::World;

            #[tokio::test]
            async fn embedded() -> Result<()> {
                super::$scenario(&World::embedded("").await?).await
            }

            #[tokio::test]
            async fn nats() -> Result<()> {
                super::$scenario(&World::nats("").await?).await
            }
        }
    )* };
}
pub(crate) use on_both_buses;

/// One gateway and its bus.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) nats: Option<NatsServer>,
}

impl World {
    /// `more` is YAML for the end of the configuration.
    pub(crate) async fn embedded(more: &str) -> Result<Self> {
        let gateway = start("embedded", None, more).await?;
        Ok(Self { gateway, nats: None })
    }

    pub(crate) async fn nats(more: &str) -> Result<Self> {
        let nats = NatsServer::builder().jetstream().start().await?;
        let gateway = start("nats", Some(&nats.url()), more).await?;
        Ok(Self {
            gateway,
            nats: Some(nats),
        })
    }

    /// Publishes by the server API.
    pub(crate) async fn publish(&self, room: &str, data: impl Into<Value>) -> Result<Place> {
        publish(&self.gateway, room, data).await
    }

    /// Publishes numbers below `count`; gives their offsets.
    pub(crate) async fn publish_all(&self, room: &str, count: usize) -> Result<Vec<u64>> {
        let mut offsets = Vec::with_capacity(count);
        for number in 0..count {
            offsets.push(self.publish(room, number).await?.offset);
        }
        Ok(offsets)
    }

    /// Publishes the same message so many times with one call.
    pub(crate) async fn fill(&self, room: &str, count: usize) -> Result<Vec<u64>> {
        let request = json!({ "channels": vec![room; count], "data": "x" });
        let answer = self.gateway.api("broadcast", &request).await?;
        let responses = answer["result"]["responses"].as_array().context("responses")?;
        let offset = |response: &Value| response["result"]["offset"].as_u64();
        responses
            .iter()
            .map(|response| offset(response).with_context(|| format!("refused: {response}")))
            .collect()
    }

    pub(crate) async fn history(&self, request: Value) -> Result<Value> {
        let answer = self.gateway.api("history", &request).await?;
        ensure!(answer.get("result").is_some(), "{request}: {answer}");
        Ok(answer["result"].clone())
    }

    /// Waits until nobody is in the room and the gateway has left it, so that nothing of it is at hand.
    pub(crate) async fn deserted(&self) -> Result<()> {
        eventually("no room is subscribed", LIMIT, async || {
            let metrics = self.gateway.metrics().await?;
            ensure!(
                metrics.sum("natter_rooms") < 0.5,
                "{}",
                metrics.sum("natter_rooms")
            );
            Ok(())
        })
        .await
    }

    /// Recoveries that were served from `memory` or by the `bus`.
    pub(crate) async fn reads(&self, source: &str) -> Result<usize> {
        self.count("natter_recovery_reads_total", ("source", source))
            .await
    }

    /// Clients that asked to recover and were told `recovered` or `not_recovered`.
    pub(crate) async fn recoveries(&self, result: &str) -> Result<usize> {
        self.count("natter_recoveries_total", ("result", result)).await
    }

    async fn count(&self, name: &str, label: (&str, &str)) -> Result<usize> {
        let metrics = self.gateway.metrics().await?;
        let value = metrics.value(name, &[label]).context("no such series")?;
        // Prints whole numbers without a point.
        value.to_string().parse().context("not a whole number")
    }
}

/// A gateway on NATS, or on the embedded bus.
pub(crate) async fn start(name: &str, nats: Option<&str>, more: &str) -> Result<Gateway> {
    let nats = nats.map_or_else(String::new, |url| {
        format!("  nats: {{ servers: ['{url}'], ping_interval: 300ms }}\n")
    });
    let config = format!(
        "node_name: {name}
api: {{ keys: [{API_KEY}] }}
bus:
  prefix: {PREFIX}
  linger: 0s
{nats}{ROOMS}{more}"
    );
    let gateway = Gateway::builder().name(name).config(&config).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

/// Waits until the body of `/readyz` says so.
pub(crate) async fn wait_bus(gateway: &Gateway, state: &str) -> Result<()> {
    gateway.wait_bus(state, LIMIT).await.map(drop)
}

/// A place in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
}

impl Place {
    /// The place that a reply or an answer holds; a subscribe reply leaves out an offset of 0.
    pub(crate) fn of(value: &Value) -> Result<Self> {
        Ok(Self {
            epoch: value["epoch"]
                .as_str()
                .with_context(|| format!("no epoch in {value}"))?
                .to_owned(),
            offset: value["offset"].as_u64().unwrap_or(0),
        })
    }

    pub(crate) fn at(&self, offset: u64) -> Self {
        Self {
            epoch: self.epoch.clone(),
            offset,
        }
    }
}

pub(crate) async fn publish(gateway: &Gateway, room: &str, data: impl Into<Value>) -> Result<Place> {
    let request = json!({ "channel": room, "data": data.into() });
    let answer = gateway.api("publish", &request).await?;
    Place::of(&answer["result"]).with_context(|| format!("{request}: {answer}"))
}

pub(crate) async fn connect(gateway: &Gateway) -> Result<Client> {
    let (mut client, _) = Client::connected(&gateway.ws_url(), json!({})).await?;
    client.set_limit(LIMIT);
    Ok(client)
}

/// Joins with any options; gives the result of the command.
pub(crate) async fn join(client: &mut Client, room: &str, options: &Value) -> Result<Value> {
    let mut request = options.clone();
    request["channel"] = room.into();
    let reply = client.request(json!({ "subscribe": request })).await?;
    ensure!(
        reply.get("subscribe").is_some(),
        "{request} was answered by {reply}"
    );
    Ok(reply["subscribe"].clone())
}

/// A new client that comes back to a room with what it has.
pub(crate) async fn come_back(gateway: &Gateway, room: &str, place: &Place) -> Result<(Client, Value)> {
    let mut client = connect(gateway).await?;
    let result = join(&mut client, room, &recover(place)).await?;
    Ok((client, result))
}

pub(crate) fn recover(place: &Place) -> Value {
    json!({ "recover": true, "recoverable": true, "epoch": place.epoch, "offset": place.offset })
}

/// A client that joins for the first time, and its place.
pub(crate) async fn newcomer(gateway: &Gateway, room: &str) -> Result<(Client, Place)> {
    let mut client = connect(gateway).await?;
    let result = join(&mut client, room, &json!({ "recoverable": true })).await?;
    Ok((client, Place::of(&result)?))
}

/// The next publication of a client: offset and data.
pub(crate) async fn next(client: &mut Client) -> Result<(u64, Value)> {
    let push = client.push().await?;
    let publication = &push["pub"];
    let offset = publication["offset"]
        .as_u64()
        .with_context(|| format!("no offset: {push}"))?;
    Ok((offset, publication["data"].clone()))
}

/// The next `count` offsets.
pub(crate) async fn offsets(client: &mut Client, count: usize) -> Result<Vec<u64>> {
    let mut offsets = Vec::with_capacity(count);
    for _ in 0..count {
        offsets.push(next(client).await?.0);
    }
    Ok(offsets)
}

/// The offsets of the publications in a result.
pub(crate) fn found(result: &Value) -> Vec<u64> {
    let publications = result["publications"].as_array();
    publications
        .into_iter()
        .flatten()
        .filter_map(|publication| publication["offset"].as_u64())
        .collect()
}

/// The result of a recovery brings exactly these, and says so.
pub(crate) fn assert_recovered(result: &Value, from: &Place, missed: &[u64]) {
    assert_eq!(result["recovered"], true, "{result}");
    assert_eq!(result["was_recovering"], true, "{result}");
    assert_eq!(found(result), missed, "{result}");
    assert_eq!(
        result["offset"].as_u64().unwrap_or(0),
        from.offset,
        "goes on from where it was: {result}"
    );
}

/// The result of a recovery brings nothing, and says that something may be missing.
pub(crate) fn assert_not_recovered(result: &Value, head: u64) {
    assert_ne!(result["recovered"], true, "{result}");
    assert_eq!(result["was_recovering"], true, "{result}");
    assert_eq!(found(result), [0; 0], "{result}");
    assert_eq!(result["offset"].as_u64().unwrap_or(0), head, "{result}");
}

/// The code of the error that a command is answered with.
pub(crate) async fn refusal(client: &mut Client, command: Value) -> Result<u64> {
    let reply = client.request(command).await?;
    reply["error"]["code"]
        .as_u64()
        .with_context(|| format!("no error: {reply}"))
}

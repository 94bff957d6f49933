//! A writer that does not give up while NATS is away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::number;

const LIMIT: Duration = Duration::from_secs(20);
/// How long NATS is away; the key is remembered for 300 s.
const OUTAGE: u64 = 90;
/// Between two tries.
const BACKOFF: Duration = Duration::from_millis(500);
/// Between gateway and NATS: time to kill the server between a message and its acknowledgement.
const DISTANCE: Duration = Duration::from_secs(1);

struct Scene {
    nats: NatsServer,
    link: Proxy,
    gateway: Gateway,
    http: reqwest::Client,
}

impl Scene {
    async fn start() -> Result<Self> {
        let nats = NatsServer::builder().jetstream().start().await?;
        let link = Proxy::to_port(nats.port()).await?;
        let config = format!(
            "api: {{ keys: [{API_KEY}] }}
bus: {{ prefix: retry, nats: {{ servers: ['nats://{}'] }} }}
rooms:
  namespaces:
    - name: log
      history: {{ size: 1000, ttl: 10m, stream: {{ partitions: 1 }} }}
",
            link.address()
        );
        let gateway = Gateway::builder().name("retry").config(&config).start().await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            nats,
            link,
            gateway,
            http,
        })
    }

    /// The status and the offset, if there is one.
    async fn store(&self, key: &str) -> Result<(u16, Option<u64>)> {
        let url = format!("{}/v1/rooms/log:a/messages", self.gateway.http_url());
        let body = json!({ "data": { "key": key } }).to_string();
        let request = self
            .http
            .post(url)
            .header("x-api-key", API_KEY)
            .header("idempotency-key", key);
        let response = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await?;
        let status = response.status().as_u16();
        if status == 503 {
            ensure!(
                response.headers().contains_key("retry-after"),
                "503 without Retry-After"
            );
        }
        let body: Value = response.json().await?;
        Ok((status, body["offset"].as_u64()))
    }

    async fn until_stored(&self, key: &str) -> Result<(u16, u64)> {
        let deadline = Instant::now() + LIMIT + outage();
        loop {
            match self.store(key).await? {
                (status @ (200 | 201), Some(offset)) => return Ok((status, offset)),
                (503, None) => {}
                other => anyhow::bail!("{key} was answered by {other:?}"),
            }
            ensure!(Instant::now() < deadline, "{key} is never stored");
            sleep(BACKOFF).await;
        }
    }

    async fn stream(&self) -> Result<Value> {
        let jsz = self.nats.get("jsz?accounts=1&streams=1&config=1").await?;
        let streams = jsz["account_details"][0]["stream_detail"].as_array();
        let rooms = |stream: &&Value| {
            let name = stream["name"].as_str();
            name.is_some_and(|name| !name.starts_with("KV_"))
        };
        let stream = streams.into_iter().flatten().find(rooms);
        stream.cloned().with_context(|| format!("no stream: {jsz}"))
    }

    async fn stored(&self) -> Result<u64> {
        self.stream().await?["state"]["messages"]
            .as_u64()
            .context("no count of messages")
    }
}

fn outage() -> Duration {
    Duration::from_secs(number("NATTER_FAULTS_OUTAGE_SECONDS").unwrap_or(OUTAGE))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_nats_was_away_stores_once() -> Result<()> {
    let scene = Scene::start().await?;
    let first = scene.until_stored("before").await?;
    ensure!(first == (201, 1), "{first:?}");
    let window = &scene.stream().await?["config"]["duplicate_window"];
    ensure!(
        *window == json!(300_000_000_000_u64),
        "keys are remembered for {window} ns"
    );

    // Stored, and the acknowledgement never arrives.
    scene.link.delay(DISTANCE);
    let (unknown, away) = tokio::join!(scene.store("during"), async {
        eventually("the message is stored", LIMIT, async || {
            let stored = scene.stored().await?;
            ensure!(stored == 2, "{stored}");
            Ok(())
        })
        .await?;
        // What is under way would still arrive.
        scene.link.cut();
        scene.nats.kill()
    });
    away?;
    let began = Instant::now();
    let unknown = unknown?;
    ensure!(unknown == (503, None), "{unknown:?}");
    scene.link.delay(Duration::ZERO);
    scene.link.resume();

    let (during, meanwhile, before, back) = tokio::join!(
        scene.until_stored("during"),
        scene.until_stored("meanwhile"),
        scene.until_stored("before"),
        async {
            tokio::time::sleep_until(began + outage()).await;
            scene.nats.restart().await
        }
    );
    back?;
    ensure!(began.elapsed() >= outage(), "the outage was too short");
    ensure!(
        during? == (200, 2),
        "the message that was stored without an answer is repeated"
    );
    ensure!(
        before? == (200, 1),
        "the message that was stored before is repeated"
    );
    ensure!(meanwhile? == (201, 3), "the message of the outage is new");
    ensure!(scene.stored().await? == 3, "each is stored once");
    Ok(())
}

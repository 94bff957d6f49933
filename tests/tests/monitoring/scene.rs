//! Two gateways on one NATS server and with one backend, and a Prometheus that scrapes them in both ways that users have.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::prometheus::{Job, Prometheus};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::rules;

/// The bound of a single wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The job whose targets carry a namespace, as in Kubernetes.
pub(crate) const CLUSTER: &str = "chat";
/// The job of a plain list of targets.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const NAMESPACE: &str = "prod";
/// Each gateway is scraped by both jobs.
pub(crate) const JOBS: usize = 2;

/// Of the subjects.
pub(crate) const PREFIX: &str = "monitoring";

const ROOMS: &str = "client: { queue_max_size: 128KiB, rpc_proxy: backend }
metrics: { delivery_sample: 1 }
rooms:
  default: { subscribe: anyone, publish: anyone }
  namespaces:
    - { name: local, subscribe: anyone, publish: anyone, degraded: local }
    - { name: log, subscribe: anyone, publish: anyone, history: { size: 1000, read: anyone, force_recovery: true } }
    - { name: meeting, subscribe: anyone, presence: true, presence_read: anyone, join_leave: true, force_push_join_leave: true }
    - { name: tight, subscribe: anyone, publish: anyone, history: { stream: { max_bytes: 1MiB, discard: new } } }
";

pub(crate) struct Scene {
    pub(crate) nats: NatsServer,
    pub(crate) backend: Backend,
    pub(crate) gateways: [Gateway; 2],
    pub(crate) prometheus: Prometheus,
}

impl Scene {
    /// Everything is up and was scraped at least once.
    pub(crate) async fn open() -> Result<Self> {
        let nats = NatsServer::builder().jetstream().start().await?;
        let backend = Backend::start().await?;
        let (a, b) = tokio::try_join!(gateway("a", &nats, &backend), gateway("b", &nats, &backend))?;
        let gateways = [a, b];
        let job = |name: &str, namespace: Option<&str>| -> Result<Job> {
            let targets = gateways
                .iter()
                .map(|gateway| Ok(gateway.ops_url().trim_start_matches("http://").parse()?));
            let targets = targets.collect::<Result<_>>()?;
            Ok(Job {
                name: name.to_owned(),
                targets,
                namespace: namespace.map(str::to_owned),
                honor_labels: false,
            })
        };
        let jobs = [job(CLUSTER, Some(NAMESPACE))?, job(PLAIN, None)?];
        let prometheus = Prometheus::start(&jobs, &rules::files()?).await?;
        let scene = Self {
            nats,
            backend,
            gateways,
            prometheus,
        };
        scene
            .scraped("natter_build_info", JOBS * scene.gateways.len())
            .await?;
        Ok(scene)
    }

    /// Waits until Prometheus has this many series.
    pub(crate) async fn scraped(&self, selector: &str, series: usize) -> Result<()> {
        eventually(&format!("{selector} is scraped"), LIMIT, async || {
            let found = self.prometheus.query(selector).await?;
            ensure!(found.len() == series, "{found:?}");
            anyhow::Ok(())
        })
        .await
    }

    pub(crate) async fn wait_bus(&self, state: &str) -> Result<()> {
        for gateway in &self.gateways {
            gateway.wait_bus(state, LIMIT).await?;
        }
        Ok(())
    }
}

pub(crate) fn configuration(name: &str, nats: &NatsServer, backend: &Backend) -> String {
    let (nats, proxies) = (nats.url(), backend.proxies(""));
    format!(
        "node_name: {name}
{proxies}api: {{ keys: [{API_KEY}] }}
bus: {{ prefix: {PREFIX}, linger: 0s, nats: {{ servers: ['{nats}'], ping_interval: 300ms }} }}
{ROOMS}"
    )
}

async fn gateway(name: &str, nats: &NatsServer, backend: &Backend) -> Result<Gateway> {
    let gateway = Gateway::builder()
        .name(name)
        .config(&configuration(name, nats, backend))
        .start()
        .await?;
    gateway.wait_bus("up", LIMIT).await?;
    Ok(gateway)
}

/// A connected client.
pub(crate) async fn connect(gateway: &Gateway) -> Result<Client> {
    Ok(Client::connected(&gateway.ws_url(), json!({})).await?.0)
}

/// A connected client in a room, and the answer to its join.
pub(crate) async fn member(gateway: &Gateway, room: &str) -> Result<(Client, Value)> {
    let mut client = connect(gateway).await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": room } }))
        .await?;
    ensure!(reply.get("subscribe").is_some(), "{room}: {reply}");
    Ok((client, reply["subscribe"].clone()))
}

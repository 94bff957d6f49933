//! Three gateways on three NATS servers, and the connections between them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::{NatsCluster, NatsServer};
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;

/// Bound of a single wait. A stream without a leader takes about 5 s to have one, a node that comes back a few more.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

const NODES: usize = 3;

pub(crate) struct Scene {
    pub(crate) nats: NatsCluster,
    pub(crate) sites: Vec<Site>,
}

/// A gateway and its ways to the servers, its own first.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    links: Vec<Proxy>,
}

impl Scene {
    pub(crate) async fn start() -> Result<Self> {
        let nats = NatsServer::builder()
            .jetstream()
            .hidden()
            .start_cluster(NODES)
            .await?;
        eventually("JetStream has a leader", LIMIT, async || {
            let jsz = nats.node(0)?.get("jsz").await?;
            let leader = jsz["meta_cluster"]["leader"].as_str().unwrap_or_default();
            ensure!(!leader.is_empty(), "{jsz}");
            Ok(())
        })
        .await?;
        let sites = try_join_all((0..NODES).map(|number| Site::start(&nats, number))).await?;
        Ok(Self { nats, sites })
    }

    /// The node that leads one of the streams.
    pub(crate) async fn leader(&self, choice: usize) -> Result<usize> {
        eventually("the streams have leaders", LIMIT, async || {
            let jsz = self
                .nats
                .node(choice % NODES)?
                .get("jsz?accounts=1&streams=1")
                .await?;
            let streams = jsz["account_details"][0]["stream_detail"]
                .as_array()
                .context("no streams")?;
            let stream = streams.get(choice % streams.len().max(1)).context("no stream")?;
            let leader = stream["cluster"]["leader"].as_str().unwrap_or_default();
            leader
                .strip_prefix("nats-")
                .and_then(|number| number.parse().ok())
                .with_context(|| format!("{} has no leader", stream["name"]))
        })
        .await
    }
}

impl Site {
    async fn start(nats: &NatsCluster, number: usize) -> Result<Self> {
        let ports = (0..NODES).map(|node| Ok(nats.node((number + node) % NODES)?.port()));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        let links = try_join_all(ports.into_iter().map(Proxy::to_port)).await?;
        let servers: Vec<_> = links
            .iter()
            .map(|link| format!("'nats://{}'", link.address()))
            .collect();
        let config = format!(
            "node_name: g{number}
client: {{ recovery_limit: 10000, queue_max_size: 16MiB }}
api: {{ keys: [{API_KEY}] }}
bus:
  prefix: faults
  linger: 200ms
  nats: {{ servers: [{}], ping_interval: 1s }}
rooms:
  namespaces:
    - name: log
      subscribe: anyone
      publish: anyone
      history: {{ size: 1000000, ttl: 1h, read: anyone, stream: {{ replicas: 3 }} }}
",
            servers.join(", ")
        );
        let gateway = Gateway::builder()
            .name(&format!("g{number}"))
            .config(&config)
            .start()
            .await?;
        let site = Self { gateway, links };
        site.wait_up().await?;
        Ok(site)
    }

    pub(crate) async fn wait_up(&self) -> Result<()> {
        self.gateway.wait_bus("up", LIMIT).await.map(drop)
    }

    /// Ends the gateway's connection to NATS and every new one.
    pub(crate) fn cut(&self) {
        self.links.iter().for_each(Proxy::cut);
    }

    /// Lets nothing pass to and from NATS.
    pub(crate) fn pause(&self) {
        self.links.iter().for_each(Proxy::pause);
    }

    pub(crate) fn resume(&self) {
        self.links.iter().for_each(Proxy::resume);
    }
}

//! Several NATS servers joined by routes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::config::{Ports, Routes};
use super::{NatsBuilder, NatsServer};
use crate::wait::eventually;

/// Routes come up by retries of about a second.
const LIMIT: Duration = Duration::from_secs(30);

/// Routes between two nodes: the server's default pool of three, and one for the system account.
const ROUTES_PER_PEER: usize = 4;

/// A cluster of this test.
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts a cluster with the default settings.
    pub async fn start(nodes: usize) -> Result<Self> {
        NatsServer::builder().start_cluster(nodes).await
    }

    pub(super) async fn start_with(builder: &NatsBuilder, nodes: usize) -> Result<Self> {
        let ports = (0..nodes).map(|_| Ports::take()).collect::<Result<Vec<_>>>()?;
        let routes: Vec<_> = ports.iter().map(|ports| ports.cluster.number()).collect();
        let nodes = ports.into_iter().enumerate().map(|(index, ports)| {
            let name = format!("nats-{index}");
            NatsServer::spawn(&name, builder.program()?, ports, |ports, directory| {
                let routes = Routes {
                    to: &routes,
                    advertise: true,
                };
                builder.render(&name, ports, directory, Some(&routes))
            })
        });
        let cluster = Self {
            nodes: nodes.collect::<Result<_>>()?,
        };
        for node in &cluster.nodes {
            node.wait_ready().await?;
        }
        cluster.wait_formed().await?;
        Ok(cluster)
    }

    /// One node, counted from 0.
    pub fn node(&self, index: usize) -> Result<&NatsServer> {
        self.nodes
            .get(index)
            .with_context(|| format!("the cluster has no node {index}"))
    }

    /// All nodes.
    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// The client URLs of all nodes, as a list separated by commas.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// Ends one node as a crash would.
    pub fn kill(&self, index: usize) -> Result<()> {
        self.node(index)?.kill()
    }

    /// Starts one node again and waits until it and its routes are up.
    pub async fn restart(&self, index: usize) -> Result<()> {
        self.node(index)?.restart().await?;
        self.wait_formed().await
    }

    /// Waits until every running node has all its routes to every other running node.
    pub async fn wait_formed(&self) -> Result<()> {
        formed(&self.nodes.iter().collect::<Vec<_>>()).await
    }
}

/// Waits until every running node has all its routes to every other running node.
pub(super) async fn formed(nodes: &[&NatsServer]) -> Result<()> {
    eventually("every route of the cluster is up", LIMIT, async || {
        let mut running = Vec::new();
        for &node in nodes {
            if node.running()? {
                running.push(node);
            }
        }
        for node in &running {
            let routes = routes(node).await?;
            let complete =
                routes.len() + 1 == running.len() && routes.values().all(|&count| count == ROUTES_PER_PEER);
            ensure!(
                complete,
                "{} of {} nodes: {} has the routes {routes:?}",
                running.len(),
                nodes.len(),
                node.name()
            );
        }
        Ok(())
    })
    .await
}

/// The number of routes to each peer, by the peer's name.
async fn routes(node: &NatsServer) -> Result<BTreeMap<String, usize>> {
    let routez = node.routez().await?;
    let mut counts = BTreeMap::new();
    for route in routez["routes"].as_array().into_iter().flatten() {
        let peer = route["remote_name"]
            .as_str()
            .context("a route has no remote name")?;
        *counts.entry(peer.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

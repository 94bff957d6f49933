//! The configuration of the servers a test asks for.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{NatsCluster, NatsServer};
use crate::port::ReservedPort;
use crate::tools;

/// What to start; every server of a test is made from one of these.
#[derive(Clone, Default)]
pub struct NatsBuilder {
    jetstream: bool,
    hidden: bool,
    version: Option<String>,
    extra: String,
}

impl NatsBuilder {
    /// Turns `JetStream` on, with a store in the server's own directory that survives restarts.
    #[must_use]
    pub fn jetstream(mut self) -> Self {
        self.jetstream = true;
        self
    }

    /// Clients are not told of the other nodes: they come by the addresses that they were given, a proxy's for example.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Starts this version, such as `2.14.9`, and not the default one.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// Adds lines to the configuration file, for example an `authorization` block.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self.extra.push('\n');
        self
    }

    /// Starts one server and waits until it accepts clients.
    pub async fn start(self) -> Result<NatsServer> {
        let server = NatsServer::spawn("nats", self.program()?, Ports::take()?, |ports, directory| {
            self.render("nats", ports, directory, None)
        })?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// Starts `nodes` servers as one cluster and waits until every route is up.
    pub async fn start_cluster(self, nodes: usize) -> Result<NatsCluster> {
        NatsCluster::start_with(&self, nodes).await
    }

    /// The program to start.
    pub(super) fn program(&self) -> Result<PathBuf> {
        match &self.version {
            Some(version) => tools::nats_server_version(version),
            None => tools::nats_server(),
        }
    }

    /// The text of the configuration file.
    pub(super) fn render(
        &self,
        name: &str,
        ports: &Ports,
        directory: &Path,
        cluster: Option<&Routes<'_>>,
    ) -> String {
        let mut text = format!(
            "server_name: \"{name}\"\nlisten: \"{}\"\nhttp: \"{}\"\n",
            ports.client.address(),
            ports.monitor.address()
        );
        if self.jetstream {
            let _ = writeln!(
                text,
                "jetstream {{ store_dir: \"{}\" }}",
                directory.join("store").display()
            );
        }
        if let Some(&Routes { to, advertise }) = cluster {
            let urls: Vec<_> = to
                .iter()
                .map(|port| format!("\"nats-route://127.0.0.1:{port}\""))
                .collect();
            let (listen, routes) = (ports.cluster.address(), urls.join(", "));
            let _ = writeln!(
                text,
                "cluster {{ name: natter-tests, listen: \"{listen}\", no_advertise: {}, routes: [{routes}] }}",
                self.hidden || !advertise
            );
        }
        text.push_str(&self.extra);
        text
    }
}

/// How a node finds the others of its cluster.
pub(super) struct Routes<'a> {
    /// Ports that it dials.
    pub(super) to: &'a [u16],
    /// Whether clients are told of the other nodes.
    pub(super) advertise: bool,
}

/// The ports of one server, held as long as the server's handle lives.
pub(super) struct Ports {
    pub(super) client: ReservedPort,
    pub(super) monitor: ReservedPort,
    pub(super) cluster: ReservedPort,
}

impl Ports {
    pub(super) fn take() -> Result<Self> {
        Ok(Self {
            client: ReservedPort::take()?,
            monitor: ReservedPort::take()?,
            cluster: ReservedPort::take()?,
        })
    }
}

//! What a NATS server says about itself at its monitoring port.

use anyhow::{Context, Result};
use serde_json::Value;

use super::NatsServer;

/// Connections asked for at once: more than any test opens; the server's own default (1,024) would cut silently.
const CONNECTIONS: u32 = 100_000;

/// A subscription of a client of one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// The subject, wildcards included.
    pub subject: String,
    /// The name that the client gave itself, or nothing.
    pub client: String,
    /// The server's number of the connection.
    pub cid: u64,
}

impl NatsServer {
    /// The subscriptions of connected clients whose subject begins with `prefix`, sorted.
    ///
    /// Only clients of this very server: interest learnt from other nodes of a cluster is not included.
    pub async fn subscriptions(&self, prefix: &str) -> Result<Vec<Subscription>> {
        let connz = self.get(&format!("connz?subs=1&limit={CONNECTIONS}")).await?;
        let connections = connz["connections"]
            .as_array()
            .context("connz has no connections")?;
        let mut found: Vec<_> = connections
            .iter()
            .flat_map(|connection| of_connection(connection, prefix))
            .collect();
        found.sort();
        Ok(found)
    }

    /// General figures: connections, subscriptions, slow consumers, messages.
    pub async fn varz(&self) -> Result<Value> {
        self.get("varz").await
    }

    /// The routes to other nodes.
    pub async fn routez(&self) -> Result<Value> {
        self.get("routez").await
    }
}

fn of_connection<'a>(connection: &'a Value, prefix: &'a str) -> impl Iterator<Item = Subscription> + 'a {
    let client = connection["name"].as_str().unwrap_or_default();
    let cid = connection["cid"].as_u64().unwrap_or_default();
    let subjects = connection["subscriptions_list"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let subjects = subjects.filter(move |subject| subject.starts_with(prefix));
    subjects.map(move |subject| Subscription {
        subject: subject.to_owned(),
        client: client.to_owned(),
        cid,
    })
}

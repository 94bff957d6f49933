//! What operators should know about the bus beyond up and down.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Why an unconfirmed namespace is not usable.
const UNCONFIRMED: &str = "JetStream has not answered for its streams";

/// Shown in the body of `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BusCondition {
    /// The NATS server; none on the embedded bus and before the first connection.
    #[serde(rename = "nats", skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerCondition>,
    /// Durable namespaces that cannot be used as configured, and why.
    #[serde(rename = "namespaces", skip_serializing_if = "BTreeMap::is_empty")]
    pub problems: BTreeMap<String, String>,
    /// Durable namespaces of whose streams nothing is known, since `JetStream` did not answer when they were last looked at, or
    /// they were not looked at yet. Not in `/readyz`: it passes by itself.
    #[serde(skip)]
    pub unconfirmed: BTreeSet<String>,
    /// Whether there are durable namespaces at all.
    #[serde(skip)]
    pub durable: bool,
    /// The gateway may not make streams, and not all that it needs were found as they should be since it started.
    #[serde(skip)]
    pub awaits_streams: bool,
}

/// What durable rooms can expect of the NATS server that the gateway is connected to, or was last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerCondition {
    pub version: String,
    pub support: ServerSupport,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSupport {
    /// The conformance tests pass on this version or an older patch of it.
    Supported,
    /// An older patch than the tested one.
    Outdated,
    /// A minor version that is not tested.
    Untested,
    /// Durable rooms are refused.
    TooOld,
}

impl BusCondition {
    /// What is known at the start.
    pub(super) fn expecting(awaits_streams: bool) -> Self {
        Self {
            awaits_streams,
            ..Self::default()
        }
    }

    /// Once everything was there, a stream that goes away later concerns its namespace only.
    pub(super) fn settle(&mut self) {
        self.awaits_streams &= !(self.problems.is_empty() && self.unconfirmed.is_empty());
    }

    /// Durable namespaces in which nothing can be stored, as far as is known, and why.
    pub fn unusable(&self) -> BTreeMap<String, String> {
        let unconfirmed = self.unconfirmed.iter();
        let unconfirmed = unconfirmed.map(|name| (name.clone(), UNCONFIRMED.to_owned()));
        unconfirmed.chain(self.problems.clone()).collect()
    }

    /// No durable room works, whatever else does.
    pub fn refuses(&self) -> bool {
        let server = self.server.as_ref();
        self.durable && server.is_some_and(|server| server.support == ServerSupport::TooOld)
    }
}

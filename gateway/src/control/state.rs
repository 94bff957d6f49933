//! What a gateway says of itself to whoever controls it.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use super::{Closing, Control, DrainSpeed, Usage, usage};
use crate::gateway::Gateway;

/// The body of `/control/state`, and of the answer to every control call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of its own to whoever reads the JSON"
)]
pub struct ControlState {
    /// The node's name: in Kubernetes the pod's.
    pub node: String,
    pub version: &'static str,
    /// SHA-1 of the configuration file in force, in hexadecimal.
    pub config: Option<String>,
    /// Why the last reload was refused.
    pub config_error: Option<String>,
    pub cordoned: bool,
    pub draining: bool,
    /// Whether the process ends: SIGTERM came.
    pub terminating: bool,
    /// Whether the drain is done: nobody is connected, and nobody gets in.
    pub empty: bool,
    /// Open connections, those included that only wait for their peer to close.
    pub connections: u64,
    /// Connections that the limit of open files and `client.connection_limit` allow.
    pub connection_limit: u64,
    /// Whether the bus is connected.
    pub bus_up: bool,
    /// Durable namespaces in which nothing can be stored, as far as is known, and why.
    pub namespaces: BTreeMap<String, String>,
    /// `None`: not known on this system.
    pub usage: Option<Usage>,
    /// A drain that was ordered.
    pub drain: Option<DrainState>,
    /// Connections that the shed under way has still to close.
    pub shedding: u64,
}

/// A drain that was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DrainState {
    /// Connections a second, if that was the order.
    pub rate: Option<f64>,
    /// Seconds until the last connection is told to go, rounded up.
    pub ends_in_seconds: u64,
}

fn connection_limit(gateway: &Gateway) -> u64 {
    let files = gateway.file_limit.connections();
    match gateway.live().settings.client.connection_limit {
        0 => files,
        limit => files.min(limit.into()),
    }
}

impl Control {
    pub fn state(&self) -> ControlState {
        let gateway = &self.gateway;
        let connections = self.connections();
        let draining = gateway.drain.is_draining();
        let (drain, shedding) = self.closing();
        ControlState {
            node: gateway.live().settings.node_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            config: gateway.config_hash(),
            config_error: gateway.config_error(),
            cordoned: gateway.drain.is_cordoned(),
            draining,
            terminating: gateway.drain.is_terminating(),
            empty: gateway.drain.refuses() && connections == 0,
            connections,
            connection_limit: connection_limit(gateway),
            bus_up: gateway.bus_is_up(),
            namespaces: gateway.unusable_namespaces(),
            usage: usage::of_process(),
            drain,
            shedding,
        }
    }

    fn closing(&self) -> (Option<DrainState>, u64) {
        let now = Instant::now();
        match &*self.closing.lock() {
            Some(Closing::Drain { speed, ends }) => {
                let rate = match speed {
                    DrainSpeed::Rate(rate) => Some(*rate),
                    DrainSpeed::Configured | DrainSpeed::Window(_) => None,
                };
                let left = ends.saturating_duration_since(now);
                let ends_in_seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                (
                    Some(DrainState {
                        rate,
                        ends_in_seconds,
                    }),
                    0,
                )
            }
            Some(Closing::Shed { shed, ends }) if *ends > now => (None, shed.left()),
            _ => (None, 0),
        }
    }
}

//! What the server, this client and everything else on the machine used of its processors for a while.
//!
//! The client counts as the limit when it used up its core, or would have if the server had not taken part of it:
//! figures of such a run say more about the client than about the server.

use std::{process, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    kernel::{Cpu, machine_busy},
    server::Server,
};

/// Share of its core from which the client counts as the limit.
const CLIENT_LIMIT: f64 = 0.95;
/// The same with the time that it was able to run and had no core, which a machine of few cores always has some of.
const CLIENT_LIMIT_WITH_WAITING: f64 = 0.99;
/// What everything else may use of a machine that counts as quiet.
pub const QUIET_CORES: f64 = 0.15;

/// The kernel's accounts at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    at: Instant,
    server: Cpu,
    bus: Option<Cpu>,
    client: Cpu,
    machine: Duration,
}

/// Between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub seconds: f64,
    pub server: Cpu,
    /// Of the NATS beside the gateways, which is no part of the server.
    pub bus: Option<Duration>,
    pub client: ClientShare,
    /// Cores that everything else used: figures count when the machine was quiet.
    pub others_cores: f64,
}

/// What this process had of its one core.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ClientShare {
    pub client_share: f64,
    /// Of the time that it was able to run and had no core.
    pub client_waiting_share: f64,
    pub client_is_limit: bool,
}

impl Accounts {
    pub fn now(server: &Server) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: server.cpu()?,
            bus: server.bus_cpu()?,
            client: Cpu::of(process::id())?,
            machine: machine_busy()?,
        })
    }

    pub fn since(&self, before: &Self) -> Usage {
        let seconds = (self.at - before.at).as_secs_f64();
        let (server, client) = (self.server - before.server, self.client - before.client);
        let bus = self.bus.zip(before.bus);
        let bus = bus.map(|(after, before)| (after - before).used());
        let busy = self.machine.saturating_sub(before.machine);
        let others = busy.saturating_sub(server.used() + client.used() + bus.unwrap_or_default());
        Usage {
            seconds,
            server,
            bus,
            client: ClientShare::of(client, seconds),
            others_cores: others.as_secs_f64() / seconds,
        }
    }
}

impl ClientShare {
    /// `used` in so many seconds.
    fn of(used: Cpu, seconds: f64) -> Self {
        let (share, waiting) = (
            used.used().as_secs_f64() / seconds,
            used.waiting.as_secs_f64() / seconds,
        );
        Self {
            client_share: share,
            client_waiting_share: waiting,
            client_is_limit: share >= CLIENT_LIMIT || share + waiting >= CLIENT_LIMIT_WITH_WAITING,
        }
    }

    /// Says on stderr what makes figures doubtful.
    pub fn warn(self) {
        if self.client_is_limit {
            eprintln!("warning: the client was the limit, not the server");
        }
    }
}

/// The same, where everything else should have been quiet.
pub fn warn(client: ClientShare, others_cores: f64) {
    client.warn();
    if others_cores > QUIET_CORES {
        eprintln!("warning: the machine was not quiet: repeat this");
    }
}

//! What the operator, or a person, can make a running gateway do: no newcomers, no connections, fewer connections.
//!
//! Every order can be given again without harm, since whoever gives them may be a new leader that only knows what it sees:
//! a second drain of the same pace changes nothing, one of another pace replaces it. A shed is the exception, as closing
//! some connections twice closes twice as many: while one is under way another is refused. A cordon ends it, and so does taking
//! a cordon back: whoever gives one of these has other plans with the gateways than an even spread, and a shed that went on
//! would close connections beside a drain that has the whole budget.

mod state;
mod usage;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::info;

pub use self::{
    state::{ControlState, DrainState},
    usage::Usage,
};
use crate::{
    cluster::Command,
    drain::{Pace, Shed},
    gateway::Gateway,
    inbox::Note,
};

/// How often a drain looks whether everybody is gone.
const POLL: Duration = Duration::from_millis(100);

/// How fast a drain closes connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DrainSpeed {
    /// As `drain.duration` says.
    Configured,
    /// Spread over this time.
    Window(Duration),
    /// Connections a second.
    Rate(f64),
}

/// Connections to close, and how many a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShedOrder {
    pub connections: u64,
    pub rate: f64,
}

/// Why an order cannot be followed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("the gateway shuts down, which cannot be taken back")]
    Terminating,
    #[error("the gateway drains: all its connections close")]
    Draining,
    #[error("a shed is under way: wait for its end")]
    Shedding,
}

/// Takes orders, one after another.
pub struct Control {
    gateway: Arc<Gateway>,
    closing: Mutex<Option<Closing>>,
}

/// The order that closes connections now.
enum Closing {
    Drain { speed: DrainSpeed, ends: Instant },
    Shed { shed: Arc<Shed>, ends: Instant },
}

impl Control {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            closing: Mutex::new(None),
        }
    }

    /// The Service stops choosing this gateway; who arrives all the same is served (see [`crate::drain`]). Ends a shed that is
    /// under way.
    pub fn cordon(&self) {
        let mut closing = self.closing.lock();
        if !self.gateway.drain.is_cordoned() {
            self.gateway.drain.set_cordoned(true);
            info!(connections = self.connections(), "cordoned");
        }
        // At the end of the process the pace of its last closes is in force.
        if !self.gateway.drain.is_terminating() && matches!(*closing, Some(Closing::Shed { .. })) {
            self.stop_closing(&mut closing);
        }
    }

    /// Takes back a cordon, and a drain or a shed that is under way.
    pub fn uncordon(&self) -> Result<(), Conflict> {
        let drain = &self.gateway.drain;
        let mut closing = self.closing.lock();
        if drain.is_terminating() {
            return Err(Conflict::Terminating);
        }
        if drain.is_cordoned() || drain.is_draining() {
            info!(connections = self.connections(), "uncordoned");
        }
        if closing.is_some() {
            self.stop_closing(&mut closing);
        }
        drain.set_emptying(false);
        drain.set_cordoned(false);
        Ok(())
    }

    /// Refuses new connections from now on and closes the others at a pace. The process stays.
    pub fn drain(self: &Arc<Self>, speed: DrainSpeed) -> Result<(), Conflict> {
        let mut closing = self.closing.lock();
        if self.gateway.drain.is_terminating() {
            return Err(Conflict::Terminating);
        }
        if matches!(*closing, Some(Closing::Drain { speed: old, .. }) if old == speed) {
            return Ok(());
        }
        let goes_on = matches!(*closing, Some(Closing::Drain { .. }));
        // First of all: whoever is not among those that are closed must not get in.
        self.gateway.drain.set_emptying(true);
        let pace = self.pace(speed);
        *closing = Some(Closing::Drain {
            speed,
            ends: Instant::now() + pace.window,
        });
        self.tell(Command::CloseAll(pace));
        info!(connections = self.connections(), window = ?pace.window, "draining");
        if !goes_on {
            self.gateway.runtime.spawn(self.clone().tell_when_empty());
        }
        Ok(())
    }

    /// Closes some connections, which come back through the Service to whichever gateway it chooses.
    pub fn shed(&self, order: ShedOrder) -> Result<(), Conflict> {
        let mut closing = self.closing.lock();
        let drain = &self.gateway.drain;
        if drain.is_terminating() {
            return Err(Conflict::Terminating);
        }
        if drain.is_draining() {
            return Err(Conflict::Draining);
        }
        if closing
            .as_ref()
            .is_some_and(|closing| closing.ends() > Instant::now())
        {
            return Err(Conflict::Shedding);
        }
        let shed = Arc::new(Shed::new(
            order.connections,
            self.gateway.clients.connected(),
            order.rate,
        ));
        *closing = Some(Closing::Shed {
            shed: shed.clone(),
            ends: Instant::now() + shed.pace.window,
        });
        info!(connections = shed.left(), window = ?shed.pace.window, "shedding connections");
        self.tell(Command::Shed(shed));
        Ok(())
    }

    fn stop_closing(&self, closing: &mut Option<Closing>) {
        *closing = None;
        self.tell(Command::StopClosing);
    }

    fn pace(&self, speed: DrainSpeed) -> Pace {
        match speed {
            DrainSpeed::Configured => Pace {
                window: self.gateway.live().settings.drain.duration,
            },
            DrainSpeed::Window(window) => Pace { window },
            DrainSpeed::Rate(rate) => Pace::at_rate(self.connections(), rate),
        }
    }

    fn tell(&self, command: Command) {
        self.gateway.tell_workers(&Note::Command(command.into()));
    }

    /// Sockets that are not gone yet.
    fn connections(&self) -> u64 {
        self.gateway.open_sockets.load(Ordering::Relaxed)
    }

    async fn tell_when_empty(self: Arc<Self>) {
        let begun = Instant::now();
        while self.connections() > 0 {
            sleep(POLL).await;
            if !self.gateway.drain.is_draining() {
                return;
            }
        }
        info!(
            seconds = begun.elapsed().as_secs(),
            "drained: no connection is left"
        );
    }
}

impl Closing {
    fn ends(&self) -> Instant {
        match self {
            Self::Drain { ends, .. } | Self::Shed { ends, .. } => *ends,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Gateways among themselves: who is there, orders that reach every gateway, questions that every gateway answers.
//!
//! All of it travels as small JSON messages over the bus, versioned, because every roll mixes two releases. Nothing is
//! stored: a gateway announces itself every `ANNOUNCE_EVERY` and is forgotten when it was silent for
//! `NODE_LIFETIME`.

pub mod base64;
mod emulation;
mod message;
mod nodes;
mod orders;
mod survey;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{Level, debug, warn};
use uuid::Uuid;

use self::{
    emulation::Emulations,
    message::{Envelope, Message},
    nodes::Nodes,
    survey::Surveys,
};
pub use self::{
    emulation::{Hearing, Said},
    message::NodeInfo,
    orders::{Command, Order, Target},
    survey::SurveyError,
};
use crate::{
    bus::{BusError, BusStatus, Recipient},
    gateway::Gateway,
    inbox::Note,
};

/// How often a gateway says that it is there.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3);
/// Silence after which a gateway counts as gone.
const NODE_LIFETIME: Duration = Duration::from_secs(10);

pub struct Cluster {
    node: Uuid,
    nodes: Nodes,
    surveys: Surveys,
    emulations: Emulations,
    left: AtomicBool,
}

impl Cluster {
    pub fn new(node: Uuid) -> Self {
        Self {
            node,
            nodes: Nodes::default(),
            surveys: Surveys::default(),
            emulations: Emulations::default(),
            left: AtomicBool::new(false),
        }
    }

    /// Gives an order to every gateway, this one included.
    pub fn order(&self, gateway: &Gateway, order: Order) -> Result<(), BusError> {
        self.send(gateway, Recipient::All, Message::Order(order))
    }

    /// The gateways that were heard lately, this one included.
    pub fn nodes(&self, gateway: &Gateway) -> Vec<NodeInfo> {
        self.nodes.hear(NodeInfo::of(gateway));
        self.nodes.present()
    }

    fn send(&self, gateway: &Gateway, to: Recipient, message: Message) -> Result<(), BusError> {
        let bytes = Envelope::new(self.node, message).encode();
        gateway.bus().ok_or(BusError::Disconnected)?.send(to, bytes)
    }

    /// Handles a message of the bus.
    pub fn receive(&self, gateway: &Gateway, bytes: &Bytes) {
        match Envelope::decode(bytes) {
            Ok(envelope) => self.handle(gateway, envelope),
            Err(error) => {
                gateway.metrics.bus.error("undecodable");
                if gateway.log_budget.cause("control", Level::WARN).admit() {
                    warn!(%error, "dropped a control message");
                }
            }
        }
    }

    fn handle(&self, gateway: &Gateway, envelope: Envelope) {
        match envelope.message {
            Message::Node(info) => {
                // A newcomer must not have to wait for the next announcement to know the others.
                if self.nodes.hear(info) && envelope.from != self.node {
                    self.announce(gateway, Recipient::Node(envelope.from));
                }
            }
            Message::Leaving => self.nodes.forget(envelope.from),
            Message::Order(order) => {
                gateway.tell_workers(&Note::Command(Command::Order(order).into()));
            }
            Message::CountRooms { survey, pattern } => {
                survey::answer(gateway, envelope.from, survey, pattern);
            }
            Message::Emulate { request, said } => emulation::answer(gateway, envelope.from, request, said),
            Message::Emulated { request, hearing } => self.emulations.answered(request, hearing),
            Message::RoomCounts { survey, rooms, last } => {
                self.surveys.collect(survey, envelope.from, rooms, last);
            }
        }
    }

    fn announce(&self, gateway: &Gateway, to: Recipient) {
        if self.left.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.send(gateway, to, Message::Node(NodeInfo::of(gateway))) {
            debug!(%error, "could not announce this gateway");
        }
    }

    /// Tells the others that this gateway leaves; nothing announces it after that.
    pub fn leave(&self, gateway: &Gateway) {
        self.left.store(true, Ordering::Release);
        if let Err(error) = self.send(gateway, Recipient::All, Message::Leaving) {
            debug!(%error, "could not tell the others about leaving");
        }
    }
}

/// Announces the gateway: at once when the bus comes up, and then regularly.
pub async fn announce(gateway: std::sync::Arc<Gateway>) {
    let Some(bus) = gateway.bus() else { return };
    let mut status = bus.status();
    let mut tick = interval(ANNOUNCE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = status.changed() => if changed.is_err() { return },
        }
        if *status.borrow_and_update() == BusStatus::Up {
            gateway.cluster.announce(&gateway, Recipient::All);
        }
    }
}

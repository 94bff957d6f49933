//! Gateways among themselves: who is there, orders that reach every gateway, questions that every gateway answers.
//!
//! All of it travels as small JSON messages over the bus, versioned, because every roll mixes two releases. Nothing is
//! stored: a gateway announces itself every `ANNOUNCE_EVERY` and is forgotten when it was silent for
//! `NODE_LIFETIME`.

pub mod base64;
mod channels;
mod emulation;
mod message;
mod nodes;
mod orders;
mod presence;
mod revocations;
mod survey;
mod users;

use std::{
    mem,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{Level, debug, warn};
use uuid::Uuid;

use self::{
    channels::RoomCounts,
    message::{Announcement, Envelope, Message},
    nodes::Nodes,
    presence::{OthersMembers, PresenceSurveys},
    revocations::{Confirmed, Leases},
    survey::Surveys,
    users::Elsewhere,
};
pub use self::{
    emulation::{Hearing, Said},
    message::NodeInfo,
    orders::{Command, Order, Target},
    survey::SurveyError,
};
use crate::{
    bus::{BusError, BusStatus, Kept, Recipient},
    gateway::Gateway,
    inbox::Note,
    revocation::Heard,
};

/// How often a gateway says that it is there.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3);
/// Until an announcement that the bus did not take is repeated: its queue empties fast, and the lease runs.
const ANNOUNCE_AGAIN: Duration = Duration::from_millis(100);
/// Silence after which a gateway counts as gone.
pub const NODE_LIFETIME: Duration = Duration::from_secs(10);

pub struct Cluster {
    node: Uuid,
    nodes: Nodes,
    room_counts: Surveys<RoomCounts>,
    emulations: Surveys<Option<Hearing>>,
    members: Surveys<OthersMembers>,
    user_counts: Surveys<Elsewhere>,
    presence_surveys: PresenceSurveys,
    in_force: Surveys<Confirmed>,
    leases: Surveys<Leases>,
    left: AtomicBool,
    /// When it announced itself for the first time on a bus that others may be on.
    came_up: OnceLock<Instant>,
    /// When the bus came back last.
    came_back: Mutex<Option<Instant>>,
}

impl Cluster {
    pub fn new(node: Uuid) -> Self {
        Self {
            node,
            nodes: Nodes::default(),
            room_counts: Surveys::default(),
            emulations: Surveys::default(),
            members: Surveys::default(),
            user_counts: Surveys::default(),
            presence_surveys: PresenceSurveys::default(),
            in_force: Surveys::default(),
            leases: Surveys::default(),
            left: AtomicBool::new(false),
            came_up: OnceLock::new(),
            came_back: Mutex::default(),
        }
    }

    /// Gives an order to every gateway, this one included.
    pub fn order(&self, gateway: &Gateway, order: Order) -> Result<(), BusError> {
        self.send(gateway, Recipient::All, Message::Order(order))
    }

    /// The gateways that were heard lately, this one included.
    pub fn nodes(&self, gateway: &Gateway) -> Vec<NodeInfo> {
        self.nodes.hear(Announcement::of(gateway));
        self.nodes.present()
    }

    /// Whether every gateway has had the time to announce itself since the bus was away.
    fn knows_others(&self) -> bool {
        self.until_others_are_known().is_none()
    }

    /// When that will be; `None`: it is so.
    fn until_others_are_known(&self) -> Option<Instant> {
        let known = (*self.came_back.lock())? + ANNOUNCE_EVERY;
        (known > Instant::now()).then_some(known)
    }

    /// Whether a gateway was heard lately.
    pub fn is_present(&self, node: Uuid) -> bool {
        self.nodes.is_present(node)
    }

    /// Whether a gateway has said that it leaves.
    pub fn has_left(&self, node: Uuid) -> bool {
        self.nodes.has_left(node)
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
            Message::Node(said) => {
                // A newcomer must not have to wait for the next announcement to know the others.
                if self.nodes.hear(said) && envelope.from != self.node {
                    // If the bus does not take it now, the next announcement is soon.
                    let _ = self.announce(gateway, Recipient::Node(envelope.from));
                }
            }
            Message::Leaving => {
                self.nodes.forget(envelope.from);
                self.in_force.forget(envelope.from);
                self.leases.forget(envelope.from);
                gateway.presence.forget(gateway, envelope.from);
            }
            Message::Order(order) => {
                gateway.tell_workers(&Note::Command(Command::Order(order).into()));
            }
            Message::CountRooms { survey, pattern } => {
                channels::answer(gateway, envelope.from, survey, pattern);
            }
            Message::Emulate { request, said } => emulation::answer(gateway, envelope.from, request, said),
            Message::Emulated { request, hearing } => {
                self.emulations.collect(request, envelope.from, hearing, true);
            }
            Message::RoomCounts { survey, rooms, last } => {
                self.room_counts.collect(survey, envelope.from, rooms, last);
            }
            Message::AskMembers { channel } => gateway.presence.asked(gateway, envelope.from, &channel),
            Message::Members(digest) => gateway.presence.digest(gateway, envelope.from, digest),
            Message::Revoke {
                question,
                epoch,
                sequence,
                key,
                value,
            } => gateway.revocations.hear(Heard {
                epoch: epoch.into(),
                kept: Kept {
                    sequence,
                    time: 0,
                    key,
                    value,
                },
                from: envelope.from,
                question,
            }),
            Message::Revoked { question } => self.in_force.collect(question, envelope.from, (), true),
            Message::AskLeases { survey, within } => {
                self.tell_leases(gateway, envelope.from, survey, Duration::from_millis(within));
            }
            Message::Leases { survey, nodes } => self.leases.collect(survey, envelope.from, nodes, true),
            Message::SurveyMembers { survey, channel } => {
                presence::answer(gateway, envelope.from, survey, &channel);
            }
            Message::SurveyedMembers { survey, part, last } => {
                self.members.collect(survey, envelope.from, part, last);
            }
            Message::CountUser { survey, user } => users::answer(gateway, envelope.from, survey, &user),
            Message::UserCount { survey, connections } => {
                self.user_counts.collect(survey, envelope.from, connections, true);
            }
        }
    }

    /// Whether it has reached the bus, or need not.
    fn announce(&self, gateway: &Gateway, to: Recipient) -> bool {
        if self.left.load(Ordering::Acquire) {
            return true;
        }
        let announced = self.send(gateway, to, Message::Node(Announcement::of(gateway)));
        if let Err(error) = announced {
            debug!(%error, "could not announce this gateway");
        }
        announced.is_ok()
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
    let (mut was_up, mut was_away) = (false, false);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = status.changed() => if changed.is_err() { return },
        }
        if *status.borrow_and_update() != BusStatus::Up {
            was_away = was_up;
            continue;
        }
        was_up = true;
        let cluster = &gateway.cluster;
        if mem::take(&mut was_away) {
            cluster.came_back.lock().replace(Instant::now());
        }
        if !cluster.announce(&gateway, Recipient::All) {
            tick.reset_after(ANNOUNCE_AGAIN);
        } else if bus.is_shared() {
            cluster.came_up.get_or_init(Instant::now);
        }
    }
}

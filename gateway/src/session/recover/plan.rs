//! Where what a client missed comes from: nowhere, from what is at hand, or from the bus.

use crate::session::wish::Former;
use crate::{
    bus::{BoxFuture, BusError},
    config::RecoveryMode,
    history::Position,
    recovery::{Missed, Part, Piece},
    room::Room,
    worker::Worker,
};

/// How a join goes on.
pub(super) enum Plan {
    Answer(Missed),
    Read(BoxFuture<Result<Missed, BusError>>),
}

/// How a client that was at `former` catches up with `position`.
pub(super) fn plan(worker: &Worker, room: &Room, former: &Former, position: &Position) -> Plan {
    let nothing = || Plan::Answer(Missed::All(Vec::new()));
    let lost = || Plan::Answer(Missed::TooMuch);
    let (Some(policy), Some(bus)) = (room.namespace().history.clone(), worker.gateway.bus()) else {
        return lost();
    };
    let is_same_epoch = former.epoch == position.epoch.as_str();
    let part = match policy.options.recovery_mode {
        // A room at 0 has no newest.
        RecoveryMode::Cache if position.offset == 0 => return lost(),
        RecoveryMode::Cache if is_same_epoch && former.offset == position.offset => return nothing(),
        RecoveryMode::Cache => Part::Newest,
        RecoveryMode::Stream if !former.epoch.is_empty() && !is_same_epoch => return lost(),
        // An empty room may have had messages since it was at 0: the stream knows.
        RecoveryMode::Stream if former.offset == position.offset && position.offset > 0 => return nothing(),
        RecoveryMode::Stream => Part::After {
            since: former.offset,
            // What is at hand may be more than the room keeps; who missed that much lost some of it.
            limit: worker
                .live()
                .settings
                .client
                .recovery_limit
                .min(policy.options.size),
        },
    };
    let is_ahead = part.is_ahead_of(position.offset);
    let piece = Piece {
        channel: room.channel.clone(),
        epoch: position.epoch.clone(),
        until: position.offset.max(part.start(position.offset)),
        part,
        policy,
    };
    if is_ahead {
        // Another gateway was faster, and this one will hear what the client has already; or there is no such offset.
        // The stream knows.
        return Plan::Read(worker.gateway.recovery.read(bus, piece));
    }
    match worker.gateway.recovery.at_hand(&piece) {
        Some(missed) => Plan::Answer(missed),
        None => Plan::Read(worker.gateway.recovery.read(bus, piece)),
    }
}

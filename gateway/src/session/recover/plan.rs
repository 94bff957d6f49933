//! Where what a client missed comes from: nowhere, from what is at hand, or from the bus.

use std::sync::Arc;

use super::Former;
use crate::{
    bus::{BoxFuture, BusError, SharedBus},
    config::RecoveryMode,
    history::{HistoryPolicy, Position, Query},
    publication::Publication,
    recovery::{Missed, Piece},
    room::Room,
    worker::Worker,
};

/// How a join goes on.
pub(super) enum Plan {
    Answer {
        recovered: bool,
        publications: Vec<Arc<Publication>>,
    },
    Read(BoxFuture<Result<Missed, BusError>>),
}

/// How a client that was at `former` catches up with `position`.
pub(super) fn plan(worker: &Worker, room: &Room, former: &Former, position: &Position) -> Plan {
    let nothing = |recovered| Plan::Answer {
        recovered,
        publications: Vec::new(),
    };
    let (Some(policy), Some(bus)) = (room.namespace().history.clone(), worker.gateway.bus()) else {
        return nothing(false);
    };
    if policy.options.recovery_mode == RecoveryMode::Cache {
        let up_to_date =
            former.offset > 0 && former.offset == position.offset && former.epoch == position.epoch.as_str();
        return if up_to_date {
            nothing(true)
        } else {
            Plan::Read(newest(bus, &room.channel, &policy, position.clone()))
        };
    }
    if !former.epoch.is_empty() && former.epoch != position.epoch.as_str() {
        return nothing(false);
    }
    // An empty room may have had messages since it was at 0: the stream knows.
    if former.offset == position.offset && position.offset > 0 {
        return nothing(true);
    }
    let piece = Piece {
        channel: room.channel.clone(),
        epoch: position.epoch.clone(),
        since: former.offset,
        until: position.offset.max(former.offset),
        // What is at hand may be more than the room keeps; who missed that much lost some of it.
        limit: worker
            .live()
            .settings
            .client
            .recovery_limit
            .min(policy.options.size),
        policy,
    };
    if former.offset > position.offset {
        // Another gateway was faster, and this one will hear what the client has already; or there is no such offset.
        // The stream knows.
        return Plan::Read(worker.gateway.recovery.read(bus, piece));
    }
    match worker.gateway.recovery.at_hand(&piece) {
        Some(Missed::All(publications)) => Plan::Answer {
            recovered: true,
            publications,
        },
        Some(Missed::TooMuch) => nothing(false),
        None => Plan::Read(worker.gateway.recovery.read(bus, piece)),
    }
}

/// The newest publication up to `position`. What is newer comes by itself, and makes the older one needless.
fn newest(
    bus: &SharedBus,
    channel: &str,
    policy: &Arc<HistoryPolicy>,
    position: Position,
) -> BoxFuture<Result<Missed, BusError>> {
    let query = Query {
        since: None,
        limit: 1,
        reverse: true,
    };
    let read = bus.history(channel, policy, query);
    Box::pin(async move {
        let page = read.await?;
        if page.publications.is_empty() || page.head.epoch != position.epoch {
            return Ok(Missed::TooMuch);
        }
        let mut publications = page.publications;
        publications.retain(|publication| publication.offset <= position.offset);
        Ok(Missed::All(publications))
    })
}

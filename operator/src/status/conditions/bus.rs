//! `BusReady`: whether the bus can store and deliver. The servers of a managed NATS are counted, and the gateways are asked: a
//! server that is ready is of no use to gateways that do not reach it.

use super::{Condition, ConditionType, Current, Outcome};
use crate::{fleet::BusView, progress::NatsProgress};

/// Nobody answered whom the operator asked.
pub(super) const NOT_ASKED: &str = "NotAsked";
const TYPE: ConditionType = ConditionType::BusReady;
/// Most gateways that are named.
const NAMED: usize = 5;

pub(super) fn of(outcome: &Outcome<'_>) -> Condition {
    let Some(Current { progress, fleet, .. }) = outcome.current else {
        return Condition::new(TYPE, None, "NotBuilt", "the spec could not be built");
    };
    let servers = progress.nats.as_ref();
    if let Some(servers) = servers.filter(|servers| servers.ready * 2 <= servers.desired) {
        let message = format!("{}; nothing can be stored", counted(servers));
        return Condition::new(TYPE, Some(false), "NoMajority", message);
    }
    let view = BusView::of(fleet);
    let message = |said: String| match servers {
        Some(servers) => format!("{}; {said}", counted(servers)),
        None => said,
    };
    if view.is_down() {
        return Condition::new(TYPE, Some(false), "BusDown", message(view.counted()));
    }
    if view.answered == 0 && progress.desired > 0 {
        let said = "no gateway has said lately whether it is connected".to_owned();
        return Condition::new(TYPE, None, NOT_ASKED, message(said));
    }
    if !view.without.is_empty() {
        let said = format!("{}, but not {}", view.counted(), named(&view.without));
        return Condition::new(TYPE, Some(true), "PartlyConnected", message(said));
    }
    match servers {
        Some(servers) => by_servers(servers),
        None if view.answered == 0 => Condition::new(TYPE, None, "NoGateways", "there is no gateway to ask"),
        None => Condition::new(TYPE, Some(true), "Connected", view.counted()),
    }
}

/// There is a majority.
fn by_servers(servers: &NatsProgress) -> Condition {
    if servers.ready >= servers.desired {
        return Condition::new(TYPE, Some(true), "AllServersReady", counted(servers));
    }
    let message = format!("{}; that is a majority", counted(servers));
    Condition::new(TYPE, Some(true), "ServersMissing", message)
}

fn counted(servers: &NatsProgress) -> String {
    format!("{} of {} NATS servers are ready", servers.ready, servers.desired)
}

fn named(pods: &[String]) -> String {
    let names = pods.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match pods.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

//! `BusReady`: whether the bus can store and deliver. The servers of a managed NATS are counted, and the gateways are asked: a
//! server that is ready is of no use to gateways that do not reach it.

use super::{Condition, ConditionType, Current, Outcome};
use crate::{build::NATS, fleet::BusView, pods, progress::NatsProgress};

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
        let message = with_trouble(message, outcome);
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
    if let Some(condition) = unusable(&view, &message) {
        return condition;
    }
    if !view.without.is_empty() {
        let said = format!("{}, but not {}", view.counted(), named(&view.without));
        return Condition::new(TYPE, Some(true), "PartlyConnected", message(said));
    }
    match servers {
        Some(servers) => by_servers(servers, outcome),
        None if view.answered == 0 => Condition::new(TYPE, None, "NoGateways", "there is no gateway to ask"),
        None => Condition::new(TYPE, Some(true), "Connected", view.counted()),
    }
}

/// A connection does not show that `JetStream` can store: it may have no leader yet, or a stream may be another than configured.
fn unusable(view: &BusView, message: &impl Fn(String) -> String) -> Option<Condition> {
    let (name, (count, why)) = view.unusable.iter().max_by_key(|(_, (count, _))| *count)?;
    let rooms = if name.is_empty() {
        "rooms without a namespace".to_owned()
    } else {
        format!("namespace {name}")
    };
    if *count == view.connected() {
        let said = message(format!("nothing can be stored in {rooms}: {why}"));
        return Some(Condition::new(TYPE, Some(false), "NamespaceUnusable", said));
    }
    let said = message(format!(
        "{count} of {} gateways can store nothing in {rooms}: {why}",
        view.connected()
    ));
    Some(Condition::new(TYPE, Some(true), "PartlyUsable", said))
}

/// There is a majority.
fn by_servers(servers: &NatsProgress, outcome: &Outcome<'_>) -> Condition {
    if servers.ready >= servers.desired {
        return Condition::new(TYPE, Some(true), "AllServersReady", counted(servers));
    }
    let message = format!("{}; that is a majority", counted(servers));
    Condition::new(TYPE, Some(true), "ServersMissing", with_trouble(message, outcome))
}

/// What keeps a server from running, said with what follows from it: an image, a volume that is not bound.
fn with_trouble(message: String, outcome: &Outcome<'_>) -> String {
    let servers = pods::of_component(&outcome.observed.pods, NATS);
    match pods::trouble(&servers) {
        Some(trouble) => format!("{message}; {}", trouble.message),
        None => message,
    }
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

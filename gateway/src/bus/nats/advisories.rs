//! What `JetStream` says of its streams by itself: a hint to look at once at what is looked at from time to time anyway.
//!
//! A stream that was edited or deleted by hand is set right within seconds; after a new leader was elected, heads of rooms
//! are compared, because live copies of the last messages may have been lost with the former one. Where NATS does not let
//! gateways subscribe to advisories, both happen at the next turn.

use std::sync::Arc;

use futures_util::{StreamExt, stream::select_all};
use tokio::time::timeout;

use super::Shared;
use crate::bus::BusError;

/// The name of the event and that of the stream follow.
const ADVISORIES: &str = "$JS.EVENT.ADVISORY.STREAM";
const CREATED: &str = "CREATED";
const UPDATED: &str = "UPDATED";
const DELETED: &str = "DELETED";
const LEADER_ELECTED: &str = "LEADER_ELECTED";

/// What is subscribed.
pub(super) fn subjects() -> impl Iterator<Item = String> {
    let events = [CREATED, UPDATED, DELETED, LEADER_ELECTED];
    events.into_iter().map(|event| format!("{ADVISORIES}.{event}.*"))
}

pub(super) async fn start(shared: &Arc<Shared>) -> Result<(), BusError> {
    let mut subscribers = Vec::new();
    for subject in subjects() {
        let subscribe = shared.client.subscribe(subject);
        let subscriber = timeout(shared.config.request_timeout, subscribe)
            .await
            .map_err(|_| BusError::Timeout)?
            .map_err(|_| BusError::Refused)?;
        subscribers.push(subscriber);
    }
    let mut advisories = select_all(subscribers);
    let own = shared.subjects.stream_prefix();
    let shared = shared.clone();
    tokio::spawn(async move {
        while let Some(advisory) = advisories.next().await {
            let mut tokens = advisory.subject.rsplit('.');
            let (stream, event) = (tokens.next(), tokens.next());
            if stream.is_none_or(|stream| !stream.starts_with(&own)) {
                continue;
            }
            match event {
                // Most are our own doing, but one may be what an administrator was asked for.
                Some(CREATED) if shared.condition.borrow().problems.is_empty() => {}
                Some(CREATED | UPDATED | DELETED) => shared.suspicion.notify_one(),
                Some(LEADER_ELECTED) => shared.missed.notify_one(),
                _ => {}
            }
        }
    });
    Ok(())
}

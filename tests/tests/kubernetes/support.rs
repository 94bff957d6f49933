//! What the scenarios share.

mod chat;
mod clients;
mod containers;
mod external;
mod kubectl;
pub(crate) mod operator;
mod pod;
mod space;

pub(crate) use chat::Chat;
pub(crate) use clients::Clients;
pub(crate) use external::ExternalNats;
use kubectl::raw;
pub(crate) use kubectl::{apply, cluster, delete, get, kubectl, list};
pub(crate) use operator::{helm, operator};
pub(crate) use pod::{kill, rejoin, sever};
pub(crate) use space::scenario;

use std::time::Duration;

/// For a change to show in the status of an object.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// For pods to start, NATS servers to find each other, volumes to be there.
pub(crate) const START: Duration = Duration::from_mins(3);

/// The same gateway as another release, as `scripts/images/build` makes it.
pub(crate) fn next_gateway() -> String {
    format!("ghcr.io/natter-chat/natter-gateway:{}", operator::NEXT)
}

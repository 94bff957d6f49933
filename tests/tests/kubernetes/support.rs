//! What the scenarios share.

mod chat;
mod clients;
mod kubectl;
pub(crate) mod operator;
mod pod;
mod space;

pub(crate) use chat::Chat;
pub(crate) use clients::Clients;
use kubectl::{apply, list, raw};
pub(crate) use kubectl::{delete, get, kubectl};
pub(crate) use operator::{helm, operator};
pub(crate) use pod::kill;
pub(crate) use space::scenario;

use std::time::Duration;

/// For a change to show in the status of an object.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// For pods to start, NATS servers to find each other, volumes to be there.
pub(crate) const START: Duration = Duration::from_mins(3);

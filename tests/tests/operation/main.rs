//! Running a gateway: configuration, reload, limits, signals, and what it says about itself.

#![expect(
    clippy::float_cmp,
    reason = "metrics that count are whole numbers, exact as f64"
)]

mod configuration;
mod control;
mod delete_streams;
mod drain;
mod files;
mod logs;
mod ops;
mod probe;
mod proxies;
mod reload;
mod secrets;
mod support;
mod traces;

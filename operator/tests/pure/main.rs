//! What needs no Kubernetes: specs in YAML through the real schema rules, validation and building. One binary, to link once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests; the lint only knows functions marked so"
)]

mod config;
mod crd;
mod fixtures;
mod golden;
mod specs;

//! What needs no Kubernetes: specs in YAML through the real schema rules, validation and building. One binary, to link once.

mod config;
mod crd;
mod fixtures;
mod golden;
mod specs;

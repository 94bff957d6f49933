//! Natter's operator: a `ChatCluster` becomes running gateways, their bus and what belongs to them.
pub mod api;
pub mod build;
pub mod crd;
pub mod kinds;
pub mod validate;

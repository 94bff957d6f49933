//! Natter's operator: a `ChatCluster` becomes running gateways, their bus, and what belongs to them.
//!
//! | module | what it is |
//! |---|---|
//! | [`api`], [`crd`] | the custom resource and its definition |
//! | [`validate`] | what the schema cannot say |
//! | [`build`], [`kinds`] | every object of a cluster |

pub mod api;
pub mod build;
pub mod crd;
pub mod kinds;
pub mod validate;

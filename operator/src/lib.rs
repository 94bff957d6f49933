//! Natter's operator: a `ChatCluster` becomes running gateways, their bus, and what belongs to them.
//!
//! # A reconcile
//!
//! ```text
//! watch ─▶ dereference ─▶ validate ─▶ build ─▶ apply ─▶ prune ─▶ restart ─▶ status, events
//! stores    reads them     no client   no client  writes   deletes  one NATS    writes when new
//!                                                                   server
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`api`], [`crd`] | the custom resource and its definition |
//! | [`kinds`] | the kinds of objects that are made |
//! | [`watch`] | what is known of Kubernetes |
//! | [`controller`], [`reconcile`] | which clusters, and the steps of one reconcile |
//! | [`dereference`], [`validate`], [`build`], [`apply`], [`prune`], [`restart`], [`status`] | the steps |
//! | [`progress`] | how far gateways and NATS are |
//! | [`fleet`], [`steer`], [`rollout`], [`scaling`] | the gateways as they are, and what becomes of them: no client, no clock |
//! | [`act`], [`gateways`], [`token`] | carrying that out: pods are written, gateways are told |
//! | [`deletion`], [`finalize`] | a cluster that is deleted and takes its streams on an external NATS along |
//! | [`events`], [`error`] | what is told, and why something failed |
//! | [`leader`], [`run`], [`cli`] | one of several, its life, its flags |
//! | [`metrics`], [`ops`], [`telemetry`] | metrics, health, logs and traces |

pub mod act;
pub mod api;
pub mod apply;
pub mod build;
pub mod cli;
pub mod controller;
pub mod crd;
pub mod deletion;
pub mod dereference;
pub mod error;
pub mod events;
pub mod finalize;
pub mod fleet;
pub mod gateways;
pub mod kinds;
pub mod leader;
pub mod metrics;
pub mod ops;
pub mod pods;
pub mod progress;
pub mod prune;
pub mod reconcile;
pub mod restart;
pub mod rollout;
pub mod run;
pub mod scaling;
pub mod status;
pub mod steer;
pub mod telemetry;
pub mod token;
pub mod validate;
pub mod watch;

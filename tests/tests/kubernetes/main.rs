//! Chat on a real Kubernetes, end to end: operator and gateways are pods from the project's own images, clients are the
//! official SDK outside of the cluster, and what they were promised is counted.
//!
//! `tests/kubernetes/e2e` builds the images, starts a cluster and runs this suite in it, one scenario after another. The
//! first scenario that needs it installs the operator by its chart; each scenario has a namespace of its own.

mod autoscaling;
mod bad_input;
mod bus_lost;
mod by_hand;
mod config_change;
mod deleted_streams;
mod external_nats;
mod gateway_lost;
mod history_kept;
mod install;
mod network_policy;
mod operator_lost;
mod roll;
mod roll_stalled;
mod scale;
mod support;
mod upgrade;

//! The operator on a real API server with the controllers of Kubernetes, without nodes: what is refused, made, mended and
//! reported. A test has a namespace and an operator of its own.

mod apis;
mod bus;
mod children;
mod control_calls;
mod deletion;
mod evictions;
mod isolation;
mod leader;
mod names;
mod nats;
mod operation;
mod outage;
mod pods;
mod role;
mod rolls;
mod scaling;
mod secrets;
mod specs;
mod steady;
mod stream_deletion;
mod support;
mod tokens;

//! A real Kubernetes API, and the operator on it.

mod api_server;
mod operator;
mod secrets;

pub use api_server::ApiServer;
pub use operator::{Operator, OperatorBuilder};

//! Real servers and real clients for the integration and end-to-end suites.
//!
//! A test owns everything it talks to: it starts NATS servers, gateways, browsers and scripts as child processes,
//! and dropping the handle ends them by process id. Four rules keep the suites deterministic:
//!
//! * **Ports** are reserved by the test before a server starts ([`port`]), so a restart always gets the same one.
//! * **Waiting** goes through [`wait::eventually`] or a bounded wait on a child's output; nothing sleeps and hopes.
//! * **Secrets** that a gateway or an operator was given are looked for in all that it shows ([`secrets`]).
//! * **Output** of every child is kept in memory for assertions and in `tests/artifacts/` for people.
//!
//! Helpers return `anyhow::Result`, so that a test reads as a list of steps ending in `?`.

pub mod backend;
pub mod client;
pub mod gateway;
mod http;
pub mod java;
pub mod kubernetes;
pub mod lines;
pub mod nats;
pub mod node;
pub mod otlp;
pub mod port;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod python;
pub mod raw;
pub mod script;
pub mod secrets;
mod shown;
pub mod tls;
pub mod tools;
pub mod wait;
pub mod wire;

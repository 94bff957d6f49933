//! Real NATS servers, alone or as a cluster, that a test starts, kills and restarts.

mod cluster;
mod config;
mod distant;
mod monitor;
mod server;

#[cfg(test)]
mod tests;

pub use cluster::NatsCluster;
pub use config::NatsBuilder;
pub use distant::DistantPair;
pub use monitor::Subscription;
pub use server::NatsServer;

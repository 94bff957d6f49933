//! Durable rooms on real gateways and real NATS servers.

mod http;

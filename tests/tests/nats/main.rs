//! Several gateways over real NATS: what clients see, and what happens when NATS goes away.

mod api;
mod api_over_nats;
mod cluster;
mod conversation;
mod degraded;
mod formats;
mod garbage;
mod joins;
mod outage;
mod server_side;
mod support;
mod transports;

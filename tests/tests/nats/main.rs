//! Several gateways over real NATS: what clients see, and what happens when NATS goes away.

mod api;
mod api_over_nats;
mod api_ways;
mod cluster;
mod conversation;
mod degraded;
mod emulation;
mod formats;
mod garbage;
mod joins;
mod limits;
mod mixed_room;
mod one_cluster;
mod outage;
mod permissions;
mod presence;
mod revocation;
mod server_side;
mod support;
mod transports;
mod users;

//! What durable rooms rest on and NATS promises in part only, on the newest patch of every supported version: asked over the
//! wire as the gateway asks, and through a gateway.

mod cluster;
mod gateway;
mod live;
mod probe;
mod reads;
mod store;
mod support;
mod versions;

//! Durable rooms on real gateways, on both buses: what was said is kept, in one order, and nobody misses any of it.

mod bad_input;
mod books;
mod cache;
mod expiry;
mod flags;
mod fleet;
mod history;
mod http;
mod joins;
mod namespaces;
mod outage;
mod publish;
mod races;
mod recovery;
mod sdk;
mod server_side;
mod settings;
mod storm;
mod streams;
mod support;

//! The bus as a library: one suite for both implementations, and what only NATS can do.

mod both;
mod cluster;
mod drops;
mod kept;
mod link;
mod login;
mod nats;
mod outage;
mod presence;
mod support;

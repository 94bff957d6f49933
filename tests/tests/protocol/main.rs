//! The client protocol, the framing under it and the server API, against the real gateway on its embedded bus.
//!
//! Every test of bad input asks four questions: does the client get the code of the protocol, did the right counter move
//! by as much as it should, does the log say it once at the right level, and did a bystander in a busy room notice
//! nothing ([`scene::Scene`]).

mod bad_frames;
mod channels;
mod commands;
mod commands_api;
mod compressed_abuse;
mod compressed_member;
mod compression;
mod conformance;
mod connections_api;
mod deltas;
mod description;
mod emulation;
mod encodings;
mod expiry;
mod filters;
mod forwarded;
mod framing;
mod http_abuse;
mod independent;
mod limits;
mod oneway;
mod payloads;
mod permissions;
mod presence;
mod protobuf;
mod proxies;
mod publish_api;
mod raw_member;
mod refused;
mod revocation;
mod scene;
mod server_side;
mod sizes;
mod slow;
mod streams;
mod timers;
mod tls;
mod tokens;

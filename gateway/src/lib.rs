//! Natter's gateway: chat rooms for clients of the Centrifuge protocol, bridged over a bus.
//!
//! # The way of a message
//!
//! ```text
//! client ─▶ listener ─▶ http ─▶ socket ─▶ session ─▶ namespace (may it?) ─▶ gateway.publish ─▶ bus ─┐
//! backend ───────────▶ http ─▶ api ────────────────────────────────────▶ gateway.publish ─▶ bus ─┤
//! client ◀─ socket ◀─ outbox ◀─ session ◀─ room ◀─ worker ◀─ inbox ◀─ rooms ◀─ frame (encoded once) ◀┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`server`], [`drain`] | assembly, start and end of a gateway |
//! | [`control`] | what the operator can make it do: cordon, drain, shed |
//! | [`listener`], [`http`] | accepting sockets; upgrade, page |
//! | [`api`] | the server API |
//! | [`proxy`] | backends that are asked about what clients do |
//! | [`worker`] | a thread with its connections: inbox, broadcasts, flush, timers |
//! | [`session`], [`socket`], [`outbox`] | one connection |
//! | [`admission`], [`grant`] | what a connection is to be; a subscription that the server decides on |
//! | [`revocation`] | what is not good any more: tokens, users, users in rooms |
//! | [`token`] | what clients bring to show who they are |
//! | [`room`] | members on one worker |
//! | [`rooms`] | the rooms of the gateway: first join, last leave |
//! | [`namespace`], [`permission`] | the policy of a room; what opens it to some |
//! | [`publication`], [`outgoing`] | a message, and the same on its way to members |
//! | [`wire`], [`frame`] | how a connection speaks; a message as it is written to a socket |
//! | [`history`], [`recovery`], [`reads`] | what durable rooms keep, and reading what a client missed |
//! | [`inbox`] | from other threads to a worker |
//! | [`bus`] | between gateways: embedded or NATS |
//! | [`cluster`] | gateways among themselves: announcements, orders, surveys |
//! | [`gateway`] | what the threads share |
//! | [`presence`] | who is in rooms, at all gateways |
//! | [`config`], [`cli`] | settings, command line |
//! | [`probe`] | a conversation to see that chat works |
//! | [`setup_bus`], [`delete_streams`], [`nats_permissions`] | what a cluster stores at NATS, made and deleted; what its users there may do |
//! | [`outbound`] | the HTTP client of what is asked of others |
//! | [`migrate`] | a configuration of Centrifugo, converted |
//! | [`telemetry`], [`metrics`], [`ops`], [`limits`] | logs, traces, metrics, health, descriptors |
//! | [`clock`] | what time it is |
//! | `watched_file` | files that are read again while the gateway runs |

pub mod admission;
pub mod api;
pub mod bus;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod control;
pub mod delete_streams;
pub mod drain;
mod errand;
pub mod frame;
pub mod gateway;
mod glob;
pub mod grant;
pub mod history;
pub mod http;
pub mod inbox;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod migrate;
pub mod namespace;
pub mod nats_permissions;
pub mod ops;
pub mod outbound;
pub mod outbox;
pub mod outgoing;
pub mod permission;
pub mod presence;
pub mod probe;
pub mod proxy;
pub mod publication;
pub mod reads;
pub mod recovery;
pub mod revocation;
pub mod room;
pub mod rooms;
pub mod server;
pub mod session;
pub mod setup_bus;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod token;
mod watched_file;
pub mod wire;
pub mod worker;

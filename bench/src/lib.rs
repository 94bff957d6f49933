//! Load on one server, and what it costs that server.
//!
//! All of the load comes from one thread ([`cli`] starts its runtime), so that it can use one core at most and a
//! machine of two leaves the other to the server. Costs are read from the kernel's accounts of the server's process
//! alone ([`kernel`]): what the client costs itself never hides in them, and a client that is the limit says so
//! ([`usage`]).
//!
//! A connection is a task that reads into a scratch shared by all ([`link`]) and looks only for a stamp in what comes
//! ([`stamp`]): nothing is parsed, and nothing kept but the tail of an incomplete frame
//! ([`natter_websocket::client::frames`]). A stamp holds the time at which its message was due by the schedule, not the
//! time at which it was sent, so a stall of the client or of the server counts for every message that it held up.
//!
//! [`publish`], [`rooms`] and [`reconnect`] are about durable rooms: they start NATS and gateways of their own ([`durable`])
//! and wait for the answer of every command ([`caller`]), by a schedule or a number in flight ([`pace`]).
//!
//! [`compare`] runs the scenarios for all servers, each as a process of its own, and [`render`] writes its page.
//!
//! What differs between servers is behind [`protocol::Protocol`]; [`server`] starts them, some of which are part of this program
//! ([`peer`]). [`density`], [`connect`], [`fanout`], [`saturate`], [`scale`], [`flood`], [`abuse`], [`slow`] and [`storm`] are the
//! subcommands; they stand on a [`crowd`] of [`client`]s and a [`publisher`], which share a [`run::Run`]. Members of rooms
//! that are not loaded live in a second process ([`bystanders`]), so that the load's own client does not hold them up.

pub mod abuse;
pub mod bystanders;
pub mod caller;
pub mod cli;
pub mod client;
pub mod compare;
pub mod connect;
pub mod crowd;
pub mod density;
pub mod durable;
pub mod fanout;
pub mod flood;
pub mod kernel;
pub mod link;
pub mod load;
pub mod metrics;
pub mod pace;
pub mod peer;
pub mod presence;
pub mod protocol;
pub mod publish;
pub mod publisher;
pub mod quiet;
pub mod reconnect;
pub mod render;
pub mod report;
pub mod rooms;
pub mod run;
pub mod saturate;
pub mod scale;
pub mod server;
pub mod slow;
pub mod stamp;
pub mod storm;
pub mod tally;
pub mod usage;

//! Server side of RFC 6455 framing, without I/O, built for many connections that are idle most of the time.
//!
//! A connection owns no read buffer. A worker reads into one scratch that all its connections share and hands the bytes
//! to the connection's [`Decoder`], which unmasks them in place and yields payloads borrowed from the scratch. A decoder
//! is one pointer; it allocates only while a frame or a fragmented message is incomplete, and only for what has arrived.
//!
//! Outgoing frames are built once ([`encode()`], [`FrameBuilder`]) and shared; a server never masks or fragments.
//! Messages may be compressed; [`Deflater`] and [`Inflater`] keep nothing between two of them.
//! [`handshake`] judges the HTTP request that asks for the upgrade, [`client`] makes frames as clients send them.

pub mod client;
mod close;
mod decode;
mod deflate;
mod encode;
mod error;
pub mod handshake;
mod header;
mod mask;

pub use close::CloseFrame;
pub use decode::{ControlPayload, Decoder, Incoming, Limits};
pub use deflate::{Deflater, Inflater, WINDOW_BITS};
pub use encode::{FrameBuilder, MAX_HEADER, close, encode, header, ping, pong};
pub use error::ProtocolError;
pub use header::Opcode;

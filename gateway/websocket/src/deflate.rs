//! Compressed messages (permessage-deflate, RFC 7692) without context takeover.
//!
//! Every message is compressed on its own. So one compressed message is the same bytes for all who take it, and nothing
//! stays with a connection between two messages: a [`Deflater`] and an [`Inflater`] serve any number of connections, one
//! message after another. What is lost is what earlier messages would have taught, which small messages feel most.
//!
//! Messages are compressed with the narrow window of [`WINDOW_BITS`], so that clients which have little memory for it
//! take them too. Chat messages are seldom longer than that; those of 16 KiB came out up to 4 % longer for it.

mod deflater;
mod inflater;
#[cfg(test)]
mod tests;

pub use deflater::Deflater;
pub use inflater::Inflater;

/// Base-2 logarithm of the window in which repetitions are looked for: 4 KiB.
pub const WINDOW_BITS: u8 = 12;

/// What ends every flushed block and is not sent: an empty block without compression (section 7.2.1), but for its
/// first byte.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

//! Compressed messages (permessage-deflate).

use serde::{Deserialize, Serialize};

use crate::config::units::size;

/// When messages are compressed. Off unless it is asked for: it costs processor time, and saves bytes on the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionSettings {
    /// Whether clients that offer it are answered.
    pub enabled: bool,
    /// 1 (fastest) to 9 (shortest).
    pub level: u8,
    /// Smallest message that is compressed, in bytes.
    #[serde(with = "size")]
    pub min_size: usize,
    /// Members of a room here that must take compressed messages before one is compressed for them.
    pub min_members: usize,
}

impl CompressionSettings {
    /// Largest message that is compressed, in bytes: it takes about 2 milliseconds at level 3 and 4 at level 6 (a busy
    /// machine of 2 cores), in which its worker does nothing else.
    pub const MAX_SIZE: usize = 128 << 10;
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            level: 3,
            min_size: 512,
            min_members: 8,
        }
    }
}

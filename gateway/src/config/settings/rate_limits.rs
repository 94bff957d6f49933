//! How often clients may do things.

use serde::{Deserialize, Serialize};

/// Each a number a second, twice as much at once; 0: no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Commands of a connection, WebSocket pings and pongs among them.
    pub commands: u32,
    /// Publications of a connection.
    pub publications: u32,
    /// Questions of a connection for history and presence.
    pub reads: u32,
    /// As `commands`, of all connections of a user at one gateway; so the next two.
    pub user_commands: u32,
    pub user_publications: u32,
    pub user_reads: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            commands: 2_000,
            publications: 0,
            // History and presence of `channel_limit` rooms fit into what may come at once.
            reads: 200,
            user_commands: 0,
            user_publications: 0,
            user_reads: 0,
        }
    }
}

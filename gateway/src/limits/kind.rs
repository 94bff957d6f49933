//! The limits by name: one enum gives the metric label, the log field and the row of `docs/limits.md`.

/// Something that only so much of is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Commands,
    UserCommands,
    Publications,
    UserPublications,
    RoomPublications,
    Reads,
    UserReads,
    OpenReads,
    ReadBytes,
    ReadTurns,
    Connections,
    ConnectionRate,
    AddressConnections,
    UserConnections,
    Handshakes,
    Bodies,
    /// Sockets between two requests, of whom no API key was shown.
    IdleSockets,
    ApiCalls,
    WrongKeys,
    UnknownSessions,
    OpsConnections,
}

impl Limit {
    pub const ALL: [Self; 21] = [
        Self::Commands,
        Self::UserCommands,
        Self::Publications,
        Self::UserPublications,
        Self::RoomPublications,
        Self::Reads,
        Self::UserReads,
        Self::OpenReads,
        Self::ReadBytes,
        Self::ReadTurns,
        Self::Connections,
        Self::ConnectionRate,
        Self::AddressConnections,
        Self::UserConnections,
        Self::Handshakes,
        Self::Bodies,
        Self::IdleSockets,
        Self::ApiCalls,
        Self::WrongKeys,
        Self::UnknownSessions,
        Self::OpsConnections,
    ];

    /// Metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::UserCommands => "user_commands",
            Self::Publications => "publications",
            Self::UserPublications => "user_publications",
            Self::RoomPublications => "room_publications",
            Self::Reads => "reads",
            Self::UserReads => "user_reads",
            Self::OpenReads => "open_reads",
            Self::ReadBytes => "read_bytes",
            Self::ReadTurns => "read_turns",
            Self::Connections => "connections",
            Self::ConnectionRate => "connection_rate",
            Self::AddressConnections => "address_connections",
            Self::UserConnections => "user_connections",
            Self::Handshakes => "handshakes",
            Self::Bodies => "bodies",
            Self::IdleSockets => "idle_sockets",
            Self::ApiCalls => "api_calls",
            Self::WrongKeys => "wrong_keys",
            Self::UnknownSessions => "unknown_sessions",
            Self::OpsConnections => "ops_connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::{
        config::table as reference,
        ops::MOST_CONNECTIONS,
        reads::MAX_WAIT,
        session::{BYTES, MAX_OPEN},
    };

    const DOCUMENTATION: &str = include_str!("../../../docs/limits.md");
    const BEGIN: &str = "<!-- limits: begin (checked by a test) -->\n";
    const END: &str = "<!-- limits: end -->";

    /// In place of a key.
    const FIXED: &str = "–";

    /// What the limits without a key are.
    fn fixed(limit: Limit) -> Option<String> {
        match limit {
            Limit::OpenReads => Some(format!("{MAX_OPEN} of a connection")),
            Limit::ReadBytes => Some(format!("{} MiB a second of a connection", BYTES >> 20)),
            Limit::ReadTurns => Some(format!("begun within {} s", MAX_WAIT.as_secs())),
            Limit::OpsConnections => Some(MOST_CONNECTIONS.to_string()),
            _ => None,
        }
    }

    /// The key, and what happens beyond it.
    fn described(limit: Limit) -> (&'static str, &'static str) {
        match limit {
            Limit::Commands => (
                "client.rate_limit.commands",
                "the connection is not read until it may say more; 429 at `/emulation`; 3013 when its pong is overdue meanwhile",
            ),
            Limit::UserCommands => (
                "client.rate_limit.user_commands",
                "as above, every connection of the user that says something",
            ),
            Limit::Publications => ("client.rate_limit.publications", "111"),
            Limit::UserPublications => ("client.rate_limit.user_publications", "111"),
            Limit::RoomPublications => (
                "rooms.namespaces[].publication_rate",
                "111; the server API is never refused",
            ),
            Limit::Reads => ("client.rate_limit.reads", "111"),
            Limit::UserReads => ("client.rate_limit.user_reads", "111"),
            Limit::OpenReads | Limit::ReadTurns => (FIXED, "111"),
            Limit::ReadBytes => (
                FIXED,
                "the connection's next page of history waits; 111 for members who are at hand",
            ),
            Limit::Connections => ("client.connection_limit", "HTTP 503 with `Retry-After`"),
            Limit::ConnectionRate => ("client.connection_rate_limit", "HTTP 503 with `Retry-After`"),
            Limit::AddressConnections => ("client.address_connection_limit", "HTTP 429 with `Retry-After`"),
            Limit::UserConnections => (
                "client.user_connection_limit",
                "the new connection is closed with 3504",
            ),
            Limit::Handshakes => ("http.handshake_limit", "the oldest of them is closed"),
            Limit::Bodies => (
                "http.handshake_limit",
                "bodies of requests to `/emulation` and for streams: the oldest of them is closed",
            ),
            Limit::IdleSockets => (
                "http.handshake_limit",
                "sockets of strangers between two requests: the oldest of them is closed",
            ),
            Limit::ApiCalls => ("api.rate_limit", "111 (HTTP 429 where errors have a status)"),
            Limit::WrongKeys => (
                "api.wrong_key_limit",
                "HTTP 429 in place of 401, and the connection is closed",
            ),
            Limit::UnknownSessions => (
                "api.wrong_key_limit",
                "requests to `/emulation` that name no session: the connection is closed behind the 404",
            ),
            Limit::OpsConnections => (FIXED, "the one that has waited longest for a request is closed"),
        }
    }

    #[test]
    fn the_documentation_lists_exactly_the_limits() {
        let keys = reference();
        let default_of = |key: &str| {
            let row = keys
                .lines()
                .find_map(|line| line.strip_prefix(&format!("| `{key}` | ")));
            let row = row.unwrap_or_else(|| panic!("there is no key {key}"));
            row.split(" | ").nth(2).unwrap_or_default().to_owned()
        };
        let mut table = "| limit | key | default | beyond it |\n|---|---|---|---|\n".to_owned();
        for limit in Limit::ALL {
            let (key, beyond) = described(limit);
            let label = limit.label();
            let _ = match fixed(limit) {
                Some(fixed) => writeln!(table, "| `{label}` | {FIXED} | {fixed} | {beyond} |"),
                None => writeln!(table, "| `{label}` | `{key}` | {} | {beyond} |", default_of(key)),
            };
        }
        let documented = DOCUMENTATION
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END));
        assert_eq!(
            documented.map(|(table, _)| table),
            Some(&*table),
            "docs/limits.md should hold this table:\n{table}"
        );
    }
}

//! The servers that are compared: their names on the command line, in tables and in plots.

#[derive(Debug)]
pub struct Server {
    /// In `--servers`.
    pub name: &'static str,
    pub title: &'static str,
    /// What it is, and how it is run.
    pub about: &'static str,
    /// Of the load tool.
    pub arguments: &'static [&'static str],
    /// In every plot: of a middle lightness, so that it shows on white and on black.
    pub colour: &'static str,
}

/// In the order of tables and plots.
pub const SERVERS: [Server; 11] = [
    Server {
        name: "natter",
        title: "Natter",
        about: "one gateway with the embedded bus and one worker, as one of the two cores is the client's",
        arguments: &["--server", "natter", "--workers", "1"],
        colour: "#2f81f7",
    },
    Server {
        name: "natter-workers",
        title: "Natter, a worker a core",
        about: "the same with its default of a worker a core: then two workers and the client share two cores",
        arguments: &["--server", "natter"],
        colour: "#54aeff",
    },
    Server {
        name: "natter-nats-one",
        title: "Natter, NATS",
        about: "one gateway over NATS, ephemeral rooms",
        arguments: &["--server", "natter-nats-one", "--workers", "1"],
        colour: "#1b9aaa",
    },
    Server {
        name: "natter-nats",
        title: "Natter ×2, NATS",
        about: "two gateways over NATS, half of the connections at each; CPU and memory of both together",
        arguments: &["--server", "natter-nats", "--workers", "1"],
        colour: "#5e6ad2",
    },
    Server {
        name: "natter-durable-memory",
        title: "Natter, durable, memory",
        about: "one gateway, every message kept in a JetStream stream in memory, one replica",
        arguments: &["--server", "natter-durable-memory", "--workers", "1"],
        colour: "#2da44e",
    },
    Server {
        name: "natter-durable-file",
        title: "Natter, durable, file",
        about: "the same with the stream on disk",
        arguments: &["--server", "natter-durable-file", "--workers", "1"],
        colour: "#7f9c2c",
    },
    Server {
        name: "floor",
        title: "floor",
        about: "one finished frame to one `send` call for each member, and nothing else",
        arguments: &["--server", "floor"],
        colour: "#8b949e",
    },
    Server {
        name: "bun",
        title: "Bun",
        about: "Bun's WebSocket server with its native publish/subscribe, which is µWebSockets; no protocol, no history",
        arguments: &["--server", "bun"],
        colour: "#e07b39",
    },
    Server {
        name: "nats",
        title: "NATS",
        about: "nats-server's own WebSocket listener",
        arguments: &["--server", "nats"],
        colour: "#a475f9",
    },
    Server {
        name: "socketio",
        title: "Socket.IO",
        about: "Socket.IO on Node.js with the ws engine, by WebSocket only",
        arguments: &["--server", "socketio"],
        colour: "#d1477a",
    },
    Server {
        name: "naive",
        title: "naive",
        about: "tokio-tungstenite, one broadcast channel a room, one task and one write a message",
        arguments: &["--server", "naive"],
        colour: "#b08800",
    },
];

pub fn named(name: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.name == name)
}

/// What a server is called in prose; its name when it is not in the list.
pub fn title(name: &str) -> &str {
    named(name).map_or(name, |server| server.title)
}

pub fn colour(name: &str) -> &'static str {
    named(name).map_or("#8b949e", |server| server.colour)
}

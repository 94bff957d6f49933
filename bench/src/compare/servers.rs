//! The servers that are compared: their names on the command line, in tables and in plots.

#[derive(Debug)]
pub struct Server {
    /// Of `--server`.
    pub name: &'static str,
    pub title: &'static str,
    /// What it is, and how it is run.
    pub about: &'static str,
    /// In every plot: of a middle lightness, so that it shows on white and on black.
    pub colour: &'static str,
}

/// In the order of tables and plots.
pub const SERVERS: [Server; 10] = [
    Server {
        name: "natter",
        title: "Natter",
        about: "one gateway with its defaults: embedded bus, a worker a core",
        colour: "#2f81f7",
    },
    Server {
        name: "natter-nats-one",
        title: "Natter, NATS",
        about: "one gateway over NATS, ephemeral rooms",
        colour: "#1b9aaa",
    },
    Server {
        name: "natter-nats",
        title: "Natter ×2, NATS",
        about: "two gateways over NATS, half of the connections at each; CPU and memory of both together",
        colour: "#5e6ad2",
    },
    Server {
        name: "natter-durable-memory",
        title: "Natter, durable, memory",
        about: "one gateway, every message kept in a JetStream stream in memory, one replica",
        colour: "#2da44e",
    },
    Server {
        name: "natter-durable-file",
        title: "Natter, durable, file",
        about: "the same with the stream on disk",
        colour: "#7f9c2c",
    },
    Server {
        name: "floor",
        title: "floor",
        about: "one finished frame to one `send` call for each member, and nothing else",
        colour: "#8b949e",
    },
    Server {
        name: "bun",
        title: "Bun",
        about: "Bun's WebSocket server with its native publish/subscribe, which is µWebSockets; no protocol, no history",
        colour: "#e07b39",
    },
    Server {
        name: "nats",
        title: "NATS",
        about: "nats-server's own WebSocket listener",
        colour: "#a475f9",
    },
    Server {
        name: "socketio",
        title: "Socket.IO",
        about: "Socket.IO on Node.js with the ws engine, by WebSocket only",
        colour: "#d1477a",
    },
    Server {
        name: "naive",
        title: "naive",
        about: "tokio-tungstenite, one broadcast channel a room, one task and one write a message",
        colour: "#b08800",
    },
];

fn named(name: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.name == name)
}

/// What a server is called in prose; its name when it is not in the list.
pub fn title(name: &str) -> &str {
    named(name).map_or(name, |server| server.title)
}

pub fn colour(name: &str) -> &'static str {
    named(name).map_or("#8b949e", |server| server.colour)
}

//! The rows of work: what every server does, and what the gateway is to reach in it.

use super::{
    figure::Figure,
    goal::{Bound, Goal},
};

#[derive(Debug)]
pub struct Row {
    /// In `--rows`.
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    /// Of the load tool, without server and file.
    pub arguments: &'static [&'static str],
    pub servers: Servers,
    pub goals: &'static [Goal],
}

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub enum Servers {
    All,
    /// Those that can do it.
    Without(&'static [&'static str]),
    Only(&'static [&'static str]),
}

impl Servers {
    pub fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Without(names) => !names.contains(&name),
            Self::Only(names) => names.contains(&name),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections that do nothing.
    Idle,
    /// Connections that come at a fixed rate.
    Connect,
    /// Deliveries at a fixed rate.
    Rate,
    /// Deliveries at the highest rate that is sustained.
    Saturation,
    /// Deliveries in other rooms while one is flooded.
    Flood,
    /// Everybody drops and comes back.
    Storm,
    /// Deliveries beside members that do not read.
    Slow,
    /// Costs at several amounts of work.
    Growth,
}

impl Kind {
    /// What is kept of a result, in the order of the table's columns.
    pub fn figures(self) -> &'static [Figure] {
        use Figure::{
            Back, BusCpu, BusResident, ClientShare, ConnectCpu, Cpu, Cut, KernelSlab, P50, P50OfOthers, P99,
            P99Alone, P99BeforeFlood, P99OfJoins, P99OfOthers, P999, Peak, PerCpuSecond, Rate, Refused,
            Resident, ReturnCpu,
        };
        match self {
            Self::Idle => &[Resident, BusResident, ConnectCpu, KernelSlab],
            Self::Connect => &[ConnectCpu, P50, P99, Refused, ClientShare],
            Self::Rate => &[Cpu, BusCpu, P50, P99, P999, ClientShare],
            Self::Saturation => &[Rate, PerCpuSecond, BusCpu, P50, P99, ClientShare],
            Self::Flood => &[P99OfOthers, P99BeforeFlood, P50OfOthers, P99, Cpu, ClientShare],
            Self::Storm => &[Back, ReturnCpu, P99OfJoins, Refused, P99OfOthers, P99BeforeFlood],
            Self::Slow => &[Cut, Peak, P99, P99Alone, Cpu],
            Self::Growth => &[],
        }
    }

    /// The one by which servers are put into proportion.
    pub fn leading(self) -> Option<Figure> {
        match self {
            Self::Idle => Some(Figure::Resident),
            Self::Connect => Some(Figure::ConnectCpu),
            Self::Rate => Some(Figure::Cpu),
            Self::Saturation => Some(Figure::PerCpuSecond),
            Self::Flood => Some(Figure::P99OfOthers),
            Self::Storm => Some(Figure::Back),
            Self::Slow => Some(Figure::Cut),
            Self::Growth => None,
        }
    }

    /// Servers that others are put into proportion to.
    pub fn references(self) -> &'static [&'static str] {
        match self {
            Self::Connect | Self::Rate | Self::Saturation => &["floor", "bun"],
            Self::Idle | Self::Flood => &["bun"],
            Self::Storm | Self::Slow | Self::Growth => &[],
        }
    }

    /// Whether the time to measure can be chosen.
    pub fn has_duration(self) -> bool {
        !matches!(self, Self::Idle | Self::Connect)
    }

    /// What a cell takes, before one was measured.
    pub fn usual_seconds(self) -> u32 {
        match self {
            Self::Idle => 15,
            Self::Connect | Self::Rate => 20,
            Self::Storm => 25,
            Self::Slow => 35,
            Self::Saturation => 90,
            Self::Flood => 50,
            Self::Growth => 240,
        }
    }
}

const fn goal(server: &'static str, figure: Figure, bound: Bound) -> Goal {
    Goal {
        server,
        figure,
        bound,
    }
}

const fn ours(figure: Figure, bound: Bound) -> Goal {
    goal("natter", figure, bound)
}

/// What a durable room may cost the gateway, beside an ephemeral one.
const fn durable(server: &'static str, times: f64) -> Goal {
    goal(server, Figure::Cpu, Bound::Times(times, "natter"))
}

const NEAR_FLOOR: &[Goal] = &[
    ours(Figure::Cpu, Bound::Times(1.1, "floor")),
    ours(Figure::P99, Bound::Below("bun")),
    durable("natter-durable-memory", 1.3),
    durable("natter-durable-file", 1.3),
];

/// What others do not count, or are not to be judged by.
const OURS: Servers = Servers::Only(&["natter"]);

pub const ROWS: [Row; 11] = [
    Row {
        name: "idle",
        title: "10,000 idle connections, each in a room of its own",
        kind: Kind::Idle,
        arguments: &["density", "--connections", "10000"],
        servers: Servers::All,
        goals: &[
            ours(Figure::Resident, Bound::AtMost(2_560.0)),
            ours(Figure::ConnectCpu, Bound::AtMost(0.05)),
        ],
    },
    Row {
        name: "connect",
        title: "5,000 connects and joins, 500 a second",
        kind: Kind::Connect,
        arguments: &["connect", "--rate", "500", "--rounds", "1"],
        servers: Servers::All,
        goals: &[],
    },
    Row {
        name: "large-room",
        title: "1,000 members × 50 messages/s",
        kind: Kind::Rate,
        arguments: &["fanout", "--members", "1000", "--rate", "50"],
        servers: Servers::All,
        goals: NEAR_FLOOR,
    },
    Row {
        name: "busy-room",
        title: "200 members × 500 messages/s",
        kind: Kind::Rate,
        arguments: &["fanout", "--members", "200", "--rate", "500"],
        servers: Servers::All,
        goals: &[
            ours(Figure::Cpu, Bound::Times(0.7, "bun")),
            ours(Figure::P99, Bound::Times(1.5, "bun")),
            durable("natter-durable-memory", 1.3),
            durable("natter-durable-file", 1.3),
        ],
    },
    Row {
        name: "many-rooms",
        title: "5,000 sockets in 500 rooms, 3,000 messages/s by HTTP",
        kind: Kind::Rate,
        arguments: &[
            "fanout",
            "--members",
            "10",
            "--rooms",
            "500",
            "--rate",
            "3000",
            "--by",
            "http",
        ],
        // NATS has no door for publications by HTTP.
        servers: Servers::Without(&["nats"]),
        goals: &[
            ours(Figure::Cpu, Bound::Times(0.85, "bun")),
            ours(Figure::P99, Bound::Below("bun")),
            durable("natter-durable-memory", 2.0),
            durable("natter-durable-file", 2.0),
        ],
    },
    Row {
        name: "huge-room",
        title: "5,000 members × 10 messages/s",
        kind: Kind::Rate,
        arguments: &["fanout", "--members", "5000", "--rate", "10"],
        servers: Servers::All,
        goals: NEAR_FLOOR,
    },
    Row {
        name: "saturated",
        title: "saturated, 1,000 members",
        kind: Kind::Saturation,
        // At lower rates each delivery is a read of its own, and the client would be the limit.
        arguments: &["saturate", "--members", "1000", "--rate", "1000"],
        servers: Servers::All,
        goals: &[
            ours(Figure::PerCpuSecond, Bound::AtLeast(1.5e6)),
            ours(Figure::P99, Bound::Times(1.5, "bun")),
        ],
    },
    Row {
        name: "flood",
        title: "other rooms while one of 10,000 members is flooded",
        kind: Kind::Flood,
        arguments: &["flood", "--members", "10000"],
        servers: Servers::All,
        goals: &[ours(Figure::P99OfOthers, Bound::AtMost(20.0))],
    },
    Row {
        name: "storm",
        title: "5,000 members drop and come back",
        kind: Kind::Storm,
        arguments: &["storm"],
        servers: OURS,
        goals: &[],
    },
    Row {
        name: "slow",
        title: "10 of 210 members do not read",
        kind: Kind::Slow,
        arguments: &["slow"],
        servers: OURS,
        goals: &[],
    },
    Row {
        name: "growth",
        title: "growing work",
        kind: Kind::Growth,
        arguments: &["scale"],
        servers: OURS,
        goals: &[],
    },
];

pub fn named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

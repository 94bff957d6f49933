//! How many gateways the load asks for.
//!
//! Connections are counted against what each gateway can carry: the ceiling, or less where its limit of open files is lower. So
//! a gateway on a node with a low limit lacks its own part only, and does not make all others count as small as itself. Those that
//! are still to be made are taken for what most are.
//!
//! In a roll connections of former gateways count, as they come over. What a process uses does not come over: each gateway is there twice
//! for a while, with all that a process has before its first connection, and more gateways that were made for that could not
//! go before the roll is over. So CPU and memory are summed for each revision, and the one that uses the most counts.

use k8s_openapi::jiff::Timestamp;

use crate::fleet::{Fleet, Gateway};

/// Share of a ceiling that is used when fewer gateways are asked for: the rest keeps the size from going back and forth.
const SPARE: f64 = 0.9;

/// Share of its own limit of connections, in percent, that a gateway is to carry at most.
const USABLE_PERCENT: u64 = 90;

/// What one gateway shall carry at most. `None`: of no account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ceilings {
    pub connections: u64,
    /// Cores.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
}

/// How many gateways would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// At least so many, by what is known.
    pub up: usize,
    pub why_up: String,
    /// So many have a tenth to spare.
    pub down: usize,
    pub why_down: String,
    /// A gateway that should have said how it is and has not.
    pub silent: Option<String>,
    /// Whether a gateway has just become ready and was not asked yet.
    pub newcomer: bool,
}

/// Counts what the gateways said they carry against the ceilings; the highest number counts.
pub fn need(fleet: &Fleet, ceilings: &Ceilings, now: Timestamp) -> Need {
    let room = Room::of(fleet, ceilings.connections);
    let (up, why_up) = highest(fleet, ceilings, &room, 1.0);
    let (down, why_down) = highest(fleet, ceilings, &room, SPARE);
    let silent = || fleet.gateways().filter(|gateway| gateway.is_silent());
    Need {
        up,
        why_up,
        down,
        why_down,
        silent: silent()
            .find(|gateway| !gateway.is_new(now))
            .map(|gateway| gateway.pod.clone()),
        newcomer: silent().any(|gateway| gateway.is_new(now)),
    }
}

fn highest(fleet: &Fleet, ceilings: &Ceilings, room: &Room, share: f64) -> (usize, String) {
    let connections = fleet.connections();
    let by_connections = (
        room.gateways(number(connections), share),
        format!(
            "{} connections of {} for each",
            rounded(connections),
            room.further
        ),
    );
    let cpu = ceilings.cpu.map(|ceiling| {
        let used = most_used(fleet, |gateway| gateway.sample.as_ref()?.cpu);
        (
            gateways(used, ceiling * share),
            format!("CPU above {ceiling} cores for each"),
        )
    });
    let memory = ceilings.memory.map(|ceiling| {
        let used = most_used(fleet, |gateway| gateway.sample.as_ref()?.memory.map(number));
        (
            gateways(used, number(ceiling) * share),
            format!("memory above {} MiB for each", ceiling >> 20),
        )
    });
    [Some(by_connections), cpu, memory]
        .into_iter()
        .flatten()
        .rev()
        .max_by_key(|(gateways, _)| *gateways)
        .unwrap_or_default()
}

/// What the gateways of one revision use together: of the one that uses the most.
fn most_used(fleet: &Fleet, of: impl Fn(&Gateway) -> Option<f64>) -> f64 {
    let sums = fleet
        .revisions()
        .map(|revision| revision.gateways.iter().filter_map(&of).sum::<f64>());
    sums.fold(0.0, f64::max)
}

/// Connections that gateways can carry.
struct Room {
    /// Each that stays, those with the least room first: which of them would go is not known here.
    there: Vec<u64>,
    /// One that is still to be made.
    further: u64,
}

impl Room {
    fn of(fleet: &Fleet, ceiling: u64) -> Self {
        let of_gateway = |gateway: &Gateway| {
            let limit = gateway.sample.as_ref()?.connection_limit;
            Some(ceiling.min(limit.saturating_mul(USABLE_PERCENT) / 100))
        };
        let mut known: Vec<_> = fleet.gateways().filter_map(of_gateway).collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).copied().unwrap_or(ceiling);
        let further = median.max(1);
        let staying = fleet.current.staying();
        let mut there: Vec<_> = staying
            .map(|gateway| of_gateway(gateway).unwrap_or(further))
            .collect();
        there.sort_unstable();
        Self { there, further }
    }

    /// How many gateways carry so many connections when each uses this share of its room.
    fn gateways(&self, connections: f64, share: f64) -> usize {
        let mut room = 0.0;
        for (count, of_one) in self.there.iter().enumerate() {
            if room >= connections {
                return count;
            }
            room += number(*of_one) * share;
        }
        self.there.len() + gateways(connections - room, number(self.further) * share)
    }
}

/// How many gateways carry `load` when each carries up to `ceiling`.
fn gateways(load: f64, ceiling: f64) -> usize {
    let mut gateways: u16 = 0;
    while f64::from(gateways) * ceiling < load && gateways < u16::MAX {
        gateways += 1;
    }
    gateways.into()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 connections or bytes")]
fn number(count: u64) -> f64 {
    count as f64
}

/// The number with two digits, so that a text does not change with every client.
pub fn rounded(number: u64) -> u64 {
    let mut step = 1;
    while number / step >= 100 {
        step *= 10;
    }
    number / step * step
}

#[cfg(test)]
mod tests;

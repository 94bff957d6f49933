//! How many gateways the load asks for.

use k8s_openapi::jiff::Timestamp;

use crate::fleet::{Fleet, Gateway};

/// Share of a ceiling that is used when fewer gateways are asked for: the rest keeps the size from going back and forth.
const SPARE: f64 = 0.9;

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
    let (up, why_up) = highest(fleet, ceilings, 1.0);
    let (down, why_down) = highest(fleet, ceilings, SPARE);
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

fn highest(fleet: &Fleet, ceilings: &Ceilings, share: f64) -> (usize, String) {
    let connections = fleet.connections();
    let by_connections = (
        gateways(number(connections), number(ceilings.connections) * share),
        format!(
            "{} connections of {} for each",
            rounded(connections),
            ceilings.connections
        ),
    );
    let sum = |of: fn(&Gateway) -> Option<f64>| fleet.gateways().filter_map(of).sum::<f64>();
    let cpu = ceilings.cpu.map(|ceiling| {
        let used = sum(|gateway| gateway.sample.as_ref()?.cpu);
        (
            gateways(used, ceiling * share),
            format!("CPU above {ceiling} cores for each"),
        )
    });
    let memory = ceilings.memory.map(|ceiling| {
        let used = sum(|gateway| gateway.sample.as_ref()?.memory.map(number));
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

//! How many gateways there shall be, which of them goes, and how connections come to new ones.
//!
//! # How many
//!
//! Either a fixed number, `gateways.replicas`, which a person, `kubectl scale` or a `HorizontalPodAutoscaler` writes and the
//! operator only reads; or, with `scaling`, what connections, CPU and memory ask for, which the operator keeps in the status
//! and never writes into the spec. So there is one owner in either case and nothing to fight about.
//!
//! Up at once: connections that do not fit wait for nobody. Down only when the lower number has been enough for the whole
//! `scaleDownWindow`, and then to the highest number that it needed in that time. What is needed downwards is counted with
//! a tenth to spare, so that a cluster on the edge of a number does not go back and forth.
//!
//! A gateway that was ready for a moment and does not say how it is (it is frozen, the network is split) may hold any number of
//! connections. Then the size stays, with one exception: what the others have alone may be reason enough for more. So it is
//! while a gateway has lost the bus; when all have, there is no exception: clients that come back tell nothing of the load.
//! While a roll is under way nothing shrinks either; connections of former gateways count, as they come over. What is added
//! meanwhile is no part of the roll: it waits for as many gateways as there should be when it began. Otherwise one more gateway
//! for which there is no room before a former one goes would keep every former one.
//!
//! # Which goes
//!
//! The gateway with the fewest connections. It leaves as in a roll (see [`crate::fleet::Leave`]): out of the Service, drained at
//! the budget, marked, removed; one after another. If more are wanted meanwhile, those that are on their way out are put
//! back before new ones are made.
//!
//! # Rebalancing
//!
//! A new gateway gets new connections only. When the fullest gateway stays above the mean by more than `rebalance.skewPercent`
//! although all have been ready for a while, it is told to shed what it has too much, at the budget: clients connect again and
//! most come to others. One gateway at a time, and after each shed a pause of minutes. Where it does not help, because
//! whatever is in front of the gateways sends clients back to where they were, it is given up after two (see `rebalance`).

mod need;
mod rebalance;
mod shrink;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

pub use self::{
    need::{Ceilings, Need, need, rounded},
    rebalance::{Balance, LastShed, Rebalance, rebalance},
    shrink::{Shrink, shrink},
};
use crate::fleet::{BusView, Fleet};

/// Who says how many gateways there shall be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// `gateways.replicas`.
    Fixed(usize),
    /// The operator.
    Automatic(Automatic),
}

impl Size {
    /// The most gateways that there can be.
    pub fn most(&self) -> usize {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Automatic(automatic) => automatic.max,
        }
    }
}

/// Between which numbers, and by what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Automatic {
    pub min: usize,
    pub max: usize,
    pub ceilings: Ceilings,
    /// How long a lower number must be enough.
    pub window: Duration,
}

/// What is remembered from one decision to the next, in the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The number last decided on.
    pub desired: Option<usize>,
    /// Since when a lower number is enough, and the highest that was needed since.
    pub lower: Option<(Timestamp, usize)>,
    /// Why that number.
    pub why: String,
    /// In a roll: as many gateways as there should be when it began; at least one, so that clients have somewhere to go.
    pub roll: Option<usize>,
    pub shed: Option<LastShed>,
}

/// A decision on the number of gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    pub desired: usize,
    pub memory: Memory,
    /// Why the size is not decided on now; it stays.
    pub held: Option<Held>,
}

impl Sizing {
    /// The number that a roll waits for: that with which it began, or fewer if fewer are wanted now.
    pub fn of_roll(&self) -> usize {
        let began = self.memory.roll.unwrap_or(self.desired);
        began.min(self.desired)
    }
}

/// Why the size is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Reason of the condition.
    pub reason: &'static str,
    pub message: String,
}

impl Held {
    /// Gateways have lost the bus.
    pub fn bus_down(message: String) -> Self {
        Self {
            reason: "BusDown",
            message,
        }
    }

    fn silent(pod: &str) -> Self {
        Self {
            reason: "SamplesMissing",
            message: format!("gateway {pod} does not say how many connections it has"),
        }
    }
}

/// Decides on the number of gateways.
pub fn size(fleet: &Fleet, size: &Size, memory: &Memory, now: Timestamp) -> Sizing {
    let mut sizing = match size {
        Size::Fixed(replicas) => fixed(*replicas),
        Size::Automatic(automatic) => automatic.decide(fleet, memory, now),
    };
    sizing.memory.roll = (!fleet.former.is_empty()).then(|| memory.roll.unwrap_or(sizing.desired).max(1));
    sizing.memory.shed = memory.shed;
    sizing
}

fn fixed(desired: usize) -> Sizing {
    Sizing {
        desired,
        memory: Memory {
            desired: Some(desired),
            why: format!("gateways.replicas is {desired}"),
            ..Memory::default()
        },
        held: None,
    }
}

impl Automatic {
    fn decide(&self, fleet: &Fleet, memory: &Memory, now: Timestamp) -> Sizing {
        let inside = |number: usize| number.clamp(self.min, self.max);
        // An operator that knows nothing yet takes over what is there.
        let found = fleet.current.gateways.len().max(fleet.former_count());
        let old = inside(memory.desired.unwrap_or(found));
        let bus = BusView::of(fleet);
        if let Some(message) = bus.hold().filter(|_| bus.is_down()) {
            return held(old, memory, Held::bus_down(message));
        }
        let need = need(fleet, &self.ceilings, now);
        let wanted = inside(need.up);
        if wanted > old {
            return self.changed(wanted, format!("up from {old}: {}", need.why_up), &need);
        }
        if let Some(silent) = need.silent {
            return held(old, memory, Held::silent(&silent));
        }
        if let Some(message) = bus.hold() {
            return held(old, memory, Held::bus_down(message));
        }
        let enough = inside(need.down);
        if enough >= old || need.newcomer || !fleet.former.is_empty() {
            return kept(old, None, memory);
        }
        let (since, highest) = match memory.lower {
            Some((since, highest)) => (since, highest.max(enough)),
            None => (now, enough),
        };
        let over = since.checked_add(self.window).is_ok_and(|end| now >= end);
        if over {
            let why = format!(
                "down from {old}: {} for {}",
                need.why_down,
                humantime::format_duration(self.window)
            );
            return self.changed(highest, why, &need);
        }
        kept(old, Some((since, highest)), memory)
    }

    fn changed(&self, desired: usize, why: String, need: &Need) -> Sizing {
        let capped = need.up > self.max;
        let why = if capped {
            format!("{why}, at most {}", self.max)
        } else {
            why
        };
        Sizing {
            desired,
            memory: Memory {
                desired: Some(desired),
                why,
                ..Memory::default()
            },
            held: None,
        }
    }
}

/// What was enough is not known any more: the window starts again afterwards.
fn held(desired: usize, memory: &Memory, held: Held) -> Sizing {
    Sizing {
        desired,
        memory: Memory {
            desired: Some(desired),
            why: memory.why.clone(),
            ..Memory::default()
        },
        held: Some(held),
    }
}

fn kept(desired: usize, lower: Option<(Timestamp, usize)>, memory: &Memory) -> Sizing {
    let why = if memory.why.is_empty() || memory.desired != Some(desired) {
        format!("{desired} gateways were found or are the limit")
    } else {
        memory.why.clone()
    };
    Sizing {
        desired,
        memory: Memory {
            desired: Some(desired),
            lower,
            why,
            ..Memory::default()
        },
        held: None,
    }
}

#[cfg(test)]
mod tests;

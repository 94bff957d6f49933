//! How a gateway goes away or is emptied, and at what pace its connections close.
//!
//! By SIGTERM: not ready at once, still accepting while the news spreads, then refusing, then closing its connections at a
//! pace that lets them come back elsewhere without a storm.
//!
//! ```text
//! running ─▶ leaving (accepts for drain.accept) ─▶ refusing: 503, closes over drain.duration ─▶ exit 0
//! ```
//!
//! By control calls ([`crate::control`]), which a person or the operator can take back:
//!
//! ```text
//! accepting ─ cordon ─▶ cordoned (serves late arrivals) ─ drain ─▶ draining: 503, closes at a pace ─▶ empty, still running
//! ```
//!
//! Why a cordoned gateway still serves whoever arrives: it is the Service that stops choosing it, by a pod label, and
//! nodes and proxies learn of that at their own time. Whoever arrives meanwhile was sent here by something that does not
//! know better, may have no other gateway to go to, and would come back to this one after a refusal. It stays ready for
//! the same reason: its connections work. HTTP callers are told to use another connection next time. Only the drain
//! refuses, and only then the gateway is not ready.

mod pace;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

pub use self::pace::{Pace, Shed};

/// The steps after SIGTERM, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running,
    /// Not ready, but new connections are still served: load balancers need time to notice.
    Leaving,
    /// New connections get 503 and `Retry-After`; the others are closed one after another.
    Refusing,
}

#[derive(Debug, Default)]
pub struct Drain {
    phase: AtomicU8,
    cordoned: AtomicBool,
    emptying: AtomicBool,
}

impl Drain {
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Leaving,
            _ => Phase::Refusing,
        }
    }

    /// Phases only go forward.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Whether the process ends: nothing takes that back.
    pub fn is_terminating(&self) -> bool {
        self.phase() != Phase::Running
    }

    pub fn set_cordoned(&self, cordoned: bool) {
        self.cordoned.store(cordoned, Ordering::Release);
    }

    pub fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Acquire)
    }

    /// A drain by a control call begins, or is taken back.
    pub fn set_emptying(&self, emptying: bool) {
        self.emptying.store(emptying, Ordering::Release);
    }

    /// Whether connections close, or soon will, until none is left.
    pub fn is_draining(&self) -> bool {
        self.is_terminating() || self.emptying.load(Ordering::Acquire)
    }

    /// Whether new connections get 503.
    pub fn refuses(&self) -> bool {
        self.phase() == Phase::Refusing || self.emptying.load(Ordering::Acquire)
    }

    /// Whether HTTP callers should use another connection next time.
    pub fn sends_elsewhere(&self) -> bool {
        self.is_draining() || self.is_cordoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let drain = Drain::default();
        assert_eq!(drain.phase(), Phase::Running);
        drain.advance(Phase::Refusing);
        drain.advance(Phase::Leaving);
        assert_eq!(drain.phase(), Phase::Refusing);
    }

    #[test]
    fn a_cordon_refuses_nobody_and_a_drain_does() {
        let drain = Drain::default();
        drain.set_cordoned(true);
        assert!(drain.sends_elsewhere() && !drain.refuses() && !drain.is_draining());
        drain.set_emptying(true);
        assert!(drain.refuses() && drain.is_draining() && !drain.is_terminating());
        drain.set_emptying(false);
        drain.set_cordoned(false);
        assert!(!drain.sends_elsewhere() && !drain.refuses());
    }

    #[test]
    fn sigterm_does_not_open_a_gateway_that_is_being_emptied() {
        let drain = Drain::default();
        drain.set_emptying(true);
        drain.advance(Phase::Leaving);
        assert!(drain.refuses(), "load balancers were told before");
    }
}

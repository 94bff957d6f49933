//! How long a cluster waits whose reconcile failed: longer each time, each by itself.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::watch::ClusterRef;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// A failure that may pass by itself needs a person when reconciles have failed for this time.
const LASTING: Duration = Duration::from_mins(1);

/// Failures in a row, by cluster.
#[derive(Default)]
pub struct Backoff {
    failures: Mutex<HashMap<ClusterRef, u32>>,
    /// Since when every reconcile has met a failure that may pass by itself. What only a person can mend does not count: it would make
    /// the next that passes look as old as itself.
    transient: Mutex<HashMap<ClusterRef, Instant>>,
}

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub(super) fn next(&self, cluster: &ClusterRef) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(cluster.clone()).or_default();
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(*count)).min(LONGEST);
        *count = count.saturating_add(1);
        wait.mul_f64(0.75 + 0.25 * fastrand::f64())
    }

    /// Notes whether a reconcile met a failure that may pass by itself.
    pub fn note(&self, cluster: &ClusterRef, transient: bool, now: Instant) {
        let mut since = self.transient.lock();
        if transient {
            since.entry(cluster.clone()).or_insert(now);
        } else {
            since.remove(cluster);
        }
    }

    /// Whether every reconcile of the last minute met a failure that should have passed by itself.
    pub fn is_lasting(&self, cluster: &ClusterRef, now: Instant) -> bool {
        let since = self.transient.lock();
        since
            .get(cluster)
            .is_some_and(|since| now.saturating_duration_since(*since) >= LASTING)
    }

    /// Forgets the failures of a cluster that is well, or gone.
    pub(super) fn reset(&self, cluster: &ClusterRef) {
        self.failures.lock().remove(cluster);
        self.transient.lock().remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_again() {
        let backoff = Backoff::default();
        let (bad, good) = (ClusterRef::new("bad"), ClusterRef::new("good"));
        let waits: Vec<_> = (0..12).map(|_| backoff.next(&bad)).collect();
        assert!(waits[0] <= FIRST && waits[3] > waits[0] * 4);
        assert!(waits[11] <= LONGEST && waits[11] >= LONGEST.mul_f64(0.75));
        assert!(backoff.next(&good) <= FIRST);
        backoff.reset(&bad);
        assert!(backoff.next(&bad) <= FIRST);
    }

    #[test]
    fn a_failure_lasts_when_nothing_went_well_for_a_minute() {
        let backoff = Backoff::default();
        let (cluster, start) = (ClusterRef::new("bad"), Instant::now());
        assert!(!backoff.is_lasting(&cluster, start));
        backoff.note(&cluster, true, start);
        backoff.note(&cluster, true, start + LASTING / 2);
        assert!(!backoff.is_lasting(&cluster, start + LASTING / 2));
        assert!(backoff.is_lasting(&cluster, start + LASTING));
        backoff.reset(&cluster);
        assert!(!backoff.is_lasting(&cluster, start + LASTING));
    }

    #[test]
    fn what_only_a_person_can_mend_makes_nothing_else_last() {
        let backoff = Backoff::default();
        let (cluster, start) = (ClusterRef::new("bad"), Instant::now());
        for minutes in 0..60 {
            backoff.next(&cluster);
            backoff.note(&cluster, false, start + LASTING * minutes);
        }
        backoff.note(&cluster, true, start + LASTING * 60);
        assert!(!backoff.is_lasting(&cluster, start + LASTING * 60));
    }
}

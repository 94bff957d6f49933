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
    failures: Mutex<HashMap<ClusterRef, Failures>>,
}

struct Failures {
    count: u32,
    since: Instant,
}

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub(super) fn next(&self, cluster: &ClusterRef, now: Instant) -> Duration {
        let mut failures = self.failures.lock();
        let failures = failures
            .entry(cluster.clone())
            .or_insert(Failures { count: 0, since: now });
        let wait = FIRST
            .saturating_mul(2_u32.saturating_pow(failures.count))
            .min(LONGEST);
        failures.count = failures.count.saturating_add(1);
        wait.mul_f64(0.75 + 0.25 * fastrand::f64())
    }

    /// Whether every reconcile of the last minute failed, or longer ago.
    pub fn is_lasting(&self, cluster: &ClusterRef, now: Instant) -> bool {
        let failures = self.failures.lock();
        failures
            .get(cluster)
            .is_some_and(|failures| now.saturating_duration_since(failures.since) >= LASTING)
    }

    /// Forgets the failures of a cluster that is well, or gone.
    pub(super) fn reset(&self, cluster: &ClusterRef) {
        self.failures.lock().remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_again() {
        let backoff = Backoff::default();
        let (bad, good) = (ClusterRef::new("bad"), ClusterRef::new("good"));
        let now = Instant::now();
        let waits: Vec<_> = (0..12).map(|_| backoff.next(&bad, now)).collect();
        assert!(waits[0] <= FIRST && waits[3] > waits[0] * 4);
        assert!(waits[11] <= LONGEST && waits[11] >= LONGEST.mul_f64(0.75));
        assert!(backoff.next(&good, now) <= FIRST);
        backoff.reset(&bad);
        assert!(backoff.next(&bad, now) <= FIRST);
    }

    #[test]
    fn a_failure_lasts_when_nothing_went_well_for_a_minute() {
        let backoff = Backoff::default();
        let (cluster, start) = (ClusterRef::new("bad"), Instant::now());
        assert!(!backoff.is_lasting(&cluster, start));
        backoff.next(&cluster, start);
        backoff.next(&cluster, start + LASTING / 2);
        assert!(!backoff.is_lasting(&cluster, start + LASTING / 2));
        assert!(backoff.is_lasting(&cluster, start + LASTING));
        backoff.reset(&cluster);
        assert!(!backoff.is_lasting(&cluster, start + LASTING));
    }
}

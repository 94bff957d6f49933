//! How long a cluster waits whose reconcile failed: longer each time, each by itself.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

use crate::watch::ClusterRef;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, by cluster.
#[derive(Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<ClusterRef, u32>>,
}

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub(super) fn next(&self, cluster: &ClusterRef) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(cluster.clone()).or_insert(0);
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(*count)).min(LONGEST);
        *count = count.saturating_add(1);
        wait.mul_f64(0.75 + 0.25 * fastrand::f64())
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
        let waits: Vec<_> = (0..12).map(|_| backoff.next(&bad)).collect();
        assert!(waits[0] <= FIRST && waits[3] > waits[0] * 4);
        assert!(waits[11] <= LONGEST && waits[11] >= LONGEST.mul_f64(0.75));
        assert!(backoff.next(&good) <= FIRST);
        backoff.reset(&bad);
        assert!(backoff.next(&bad) <= FIRST);
    }
}

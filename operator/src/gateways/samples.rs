//! What one gateway said, and what follows from two answers.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Said;
use crate::fleet::Sample;

/// CPU is measured over at least this time.
const CPU_OVER: Duration = Duration::from_secs(10);

/// What is known of one gateway.
#[derive(Debug, Default)]
pub(super) struct Known {
    cluster: String,
    last: Option<(Instant, Said)>,
    /// CPU seconds at a moment, to count from.
    base: Option<(Instant, f64)>,
    /// Cores used between two of them.
    cpu: Option<f64>,
}

impl Known {
    /// Takes in an answer.
    pub(super) fn heard(&mut self, cluster: &str, said: Said) {
        let now = Instant::now();
        cluster.clone_into(&mut self.cluster);
        if let Some(usage) = said.usage {
            self.measure(now, usage.cpu_seconds);
        }
        self.last = Some((now, said));
    }

    fn measure(&mut self, now: Instant, seconds: f64) {
        match self.base {
            // Less than before: the container was started again.
            Some((since, base)) if seconds >= base => {
                let passed = now.duration_since(since);
                if passed >= CPU_OVER {
                    self.cpu = Some((seconds - base) / passed.as_secs_f64());
                    self.base = Some((now, seconds));
                }
            }
            _ => {
                self.cpu = None;
                self.base = Some((now, seconds));
            }
        }
    }

    pub(super) fn is_of(&self, cluster: &str) -> bool {
        self.cluster == cluster
    }

    /// The last answer if it is not older.
    pub(super) fn sample(&self, max_age: Duration) -> Option<Sample> {
        let said = self.said(max_age)?;
        Some(Sample {
            connections: said.connections,
            connection_limit: said.connection_limit,
            draining: said.draining,
            empty: said.empty,
            shedding: said.shedding,
            bus_up: said.bus_up,
            cpu: self.cpu,
            memory: said.usage.map(|usage| usage.memory_bytes),
        })
    }

    fn said(&self, max_age: Duration) -> Option<&Said> {
        self.last
            .as_ref()
            .filter(|(when, _)| when.elapsed() <= max_age)
            .map(|(_, said)| said)
    }
}

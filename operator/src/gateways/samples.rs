//! What one gateway said, and what follows from two answers.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Said;
use crate::fleet::{ConfigState, Sample};

/// CPU is measured over at least this time.
const CPU_OVER: Duration = Duration::from_secs(10);
/// A configuration that a gateway has not taken after this time needs a person. The kubelet takes up to two minutes to bring it.
pub(super) const CONFIG_LATE: Duration = Duration::from_mins(5);

/// What is known of one gateway.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When it was asked, and what it said.
    last: Option<(Instant, Said)>,
    /// CPU seconds at a moment, to count from.
    base: Option<(Instant, f64)>,
    /// Cores used between two of them.
    cpu: Option<f64>,
    /// The configuration that the gateway shall take, and since when it has not.
    awaited: Option<(String, Instant)>,
}

impl Known {
    /// Takes in the answer to what was asked then. Questions are under way beside orders, so answers may come in another order:
    /// one that was asked for before the last one tells nothing new, and may be from before an order.
    pub(super) fn heard(&mut self, asked: Instant, said: Said) {
        if self.last.as_ref().is_some_and(|(last, _)| asked < *last) {
            return;
        }
        if let Some(usage) = said.usage {
            self.measure(asked, usage.cpu_seconds);
        }
        self.last = Some((asked, said));
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

    /// The last answer if it is not older; `config` is the SHA-1 of the file that the gateway shall have.
    pub(super) fn sample(&mut self, max_age: Duration, config: Option<&str>) -> Option<Sample> {
        let state = self.config_state(max_age, config);
        let said = self.said(max_age)?;
        Some(Sample {
            config: state,
            namespaces: said.namespaces.clone(),
            connections: said.connections,
            connection_limit: said.connection_limit,
            cordoned: said.cordoned,
            draining: said.draining,
            terminating: said.terminating,
            drain_rate: said.drain.and_then(|drain| drain.rate),
            empty: said.empty,
            shedding: said.shedding,
            bus_up: said.bus_up,
            cpu: self.cpu,
            memory: said.usage.map(|usage| usage.memory_bytes),
        })
    }

    fn config_state(&mut self, max_age: Duration, wanted: Option<&str>) -> ConfigState {
        let said = self.said(max_age).map(|said| (&said.config, &said.config_error));
        // Without a file there is nothing to take.
        let (Some(wanted), Some((Some(in_force), refused))) = (wanted, said) else {
            return ConfigState::InForce;
        };
        if wanted == in_force {
            self.awaited = None;
            return ConfigState::InForce;
        }
        if let Some(error) = refused {
            return ConfigState::Refused(error.clone());
        }
        match &self.awaited {
            Some((config, since)) if config == wanted => {
                if since.elapsed() < CONFIG_LATE {
                    ConfigState::Awaited
                } else {
                    ConfigState::Late
                }
            }
            _ => {
                self.awaited = Some((wanted.to_owned(), Instant::now()));
                ConfigState::Awaited
            }
        }
    }

    fn said(&self, max_age: Duration) -> Option<&Said> {
        self.last
            .as_ref()
            .filter(|(when, _)| when.elapsed() <= max_age)
            .map(|(_, said)| said)
    }
}

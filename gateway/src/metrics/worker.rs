//! Counters that one worker keeps to itself during a turn.
//!
//! A shared counter costs a cache line that travels between cores for each delivery; plain cells cost
//! nothing, and the worker adds them to the shared ones once a turn. Not `Sync`: each worker has its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use prometheus::IntCounter;
use prometheus::local::LocalHistogram;

use super::Metrics;
use super::family::LabeledCounter;
use super::messages::NamespaceMetrics;

/// What a worker counts. [`WorkerCounters::flush`] at the end of each turn, also before the worker stops.
pub struct WorkerCounters {
    namespaces: RefCell<Vec<Option<Local>>>,
    commands: RefCell<Vec<(&'static str, u64)>>,
    sent: Cell<u64>,
    received: Cell<u64>,
    bytes_sent: IntCounter,
    bytes_received: IntCounter,
    shared_commands: LabeledCounter,
}

/// One namespace at one worker.
struct Local {
    shared: Arc<NamespaceMetrics>,
    deliveries: u64,
    latency: LocalHistogram,
}

impl WorkerCounters {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            namespaces: RefCell::default(),
            commands: RefCell::default(),
            sent: Cell::new(0),
            received: Cell::new(0),
            bytes_sent: metrics.messages.bytes_sent.clone(),
            bytes_received: metrics.messages.bytes_received.clone(),
            shared_commands: metrics.protocol.commands.clone(),
        }
    }

    /// Bytes written to a socket.
    #[inline]
    pub fn sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// Bytes read from a socket.
    #[inline]
    pub fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// A command came; `command` is its label.
    pub fn command(&self, command: &'static str) {
        let mut commands = self.commands.borrow_mut();
        match commands.iter_mut().find(|(known, _)| *known == command) {
            Some((_, count)) => *count += 1,
            None => commands.push((command, 1)),
        }
    }

    /// A publication of the namespace was written to `sockets` sockets.
    #[inline]
    pub fn delivered(&self, namespace: &Arc<NamespaceMetrics>, sockets: u64) {
        self.with(namespace, |local| local.deliveries += sockets);
    }

    /// A timed publication was written to a socket. Both times in nanoseconds since the Unix epoch; a clock
    /// behind the accepting gateway's counts as no time at all.
    pub fn timed(&self, namespace: &Arc<NamespaceMetrics>, accepted_at: u64, written_at: u64) {
        let latency = std::time::Duration::from_nanos(written_at.saturating_sub(accepted_at));
        self.with(namespace, |local| local.latency.observe(latency.as_secs_f64()));
    }

    /// Adds everything to the shared counters.
    pub fn flush(&self) {
        flush(&self.bytes_sent, self.sent.take());
        flush(&self.bytes_received, self.received.take());
        for (command, count) in self
            .commands
            .borrow_mut()
            .iter_mut()
            .filter(|(_, count)| *count > 0)
        {
            self.shared_commands.inc_by(command, std::mem::take(count));
        }
        for local in self.namespaces.borrow_mut().iter_mut().flatten() {
            flush(&local.shared.deliveries, std::mem::take(&mut local.deliveries));
            local.latency.flush();
        }
    }

    fn with(&self, namespace: &Arc<NamespaceMetrics>, count: impl FnOnce(&mut Local)) {
        let mut namespaces = self.namespaces.borrow_mut();
        if namespaces.len() <= namespace.index {
            namespaces.resize_with(namespace.index + 1, || None);
        }
        let local = namespaces[namespace.index].get_or_insert_with(|| Local {
            shared: Arc::clone(namespace),
            deliveries: 0,
            latency: namespace.latency.local(),
        });
        count(local);
    }
}

impl Drop for WorkerCounters {
    fn drop(&mut self) {
        self.flush();
    }
}

fn flush(counter: &IntCounter, by: u64) {
    if by > 0 {
        counter.inc_by(by);
    }
}

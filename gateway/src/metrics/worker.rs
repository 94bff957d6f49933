//! Counters that one worker keeps to itself during a turn.
//!
//! A shared counter costs a cache line that travels between cores for each delivery; plain cells cost
//! nothing, and the worker adds them to the shared ones once a turn. Not `Sync`: each worker has its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use prometheus::local::LocalHistogram;
use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::family::LabeledCounter;
use super::messages::{Books, NamespaceMetrics};

/// What a worker counts. [`WorkerCounters::flush`] at the end of each turn, also before the worker stops.
pub struct WorkerCounters {
    namespaces: RefCell<Vec<Option<Local>>>,
    commands: RefCell<Vec<(&'static str, u64)>>,
    sent: Cell<u64>,
    received: Cell<u64>,
    spared: Cell<u64>,
    /// Publications that came to wait since the last flush, less those that wait no more.
    queued: Cell<i64>,
    books: Books,
    shared_queued: IntGauge,
    bytes_sent: IntCounter,
    bytes_received: IntCounter,
    bytes_spared: IntCounter,
    shared_commands: LabeledCounter,
}

/// One namespace at one worker.
struct Local {
    shared: Arc<NamespaceMetrics>,
    owed: u64,
    deliveries: u64,
    dropped: Vec<(&'static str, u64)>,
    latency: LocalHistogram,
}

impl WorkerCounters {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            namespaces: RefCell::default(),
            commands: RefCell::default(),
            sent: Cell::new(0),
            received: Cell::new(0),
            spared: Cell::new(0),
            queued: Cell::new(0),
            books: metrics.messages.books.clone(),
            shared_queued: metrics.messages.queued.clone(),
            bytes_sent: metrics.messages.bytes_sent.clone(),
            bytes_received: metrics.messages.bytes_received.clone(),
            bytes_spared: metrics.compression.spared_bytes.clone(),
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

    /// Bytes that a socket is not given, because a message was compressed.
    #[inline]
    pub fn spared(&self, bytes: usize) {
        self.spared.set(self.spared.get() + bytes as u64);
    }

    /// A command came; `command` is its label.
    pub fn command(&self, command: &'static str) {
        add(&mut self.commands.borrow_mut(), command);
    }

    /// A publication of the namespace reached so many members.
    #[inline]
    pub fn owed(&self, namespace: &Arc<NamespaceMetrics>, members: u64) {
        self.with(namespace, |local| local.owed += members);
    }

    /// A publication of the namespace will not reach a member; `reason` is a label.
    pub fn dropped(&self, namespace: &Arc<NamespaceMetrics>, reason: &'static str) {
        self.with(namespace, |local| add(&mut local.dropped, reason));
    }

    /// So many more publications wait now, or fewer.
    #[inline]
    pub fn queued(&self, more: i64) {
        self.queued.set(self.queued.get() + more);
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
        flush(&self.bytes_spared, self.spared.take());
        for (command, count) in self
            .commands
            .borrow_mut()
            .iter_mut()
            .filter(|(_, count)| *count > 0)
        {
            self.shared_commands.inc_by(command, std::mem::take(count));
        }
        // All at once for a scrape: what this turn moved from one counter to another must not be seen half moved.
        let _books = self.books.read();
        self.shared_queued.add(self.queued.take());
        for local in self.namespaces.borrow_mut().iter_mut().flatten() {
            flush(&local.shared.owed, std::mem::take(&mut local.owed));
            flush(&local.shared.deliveries, std::mem::take(&mut local.deliveries));
            for (reason, count) in local.dropped.drain(..) {
                local.shared.dropped(reason, count);
            }
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
            owed: 0,
            deliveries: 0,
            dropped: Vec::new(),
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

fn add(counts: &mut Vec<(&'static str, u64)>, label: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == label) {
        Some((_, count)) => *count += 1,
        None => counts.push((label, 1)),
    }
}

fn flush(counter: &IntCounter, by: u64) {
    if by > 0 {
        counter.inc_by(by);
    }
}

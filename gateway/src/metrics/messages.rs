//! Publications and their deliveries, per namespace.
//!
//! Nothing gets lost between two counters: what is offered is accepted, repeated, refused or pending; what is owed to a
//! socket is delivered, dropped or queued. The sums hold in every scrape, because whoever moves something from one
//! counter to another holds the [`Books`], and a scrape reads while nobody does. What is queued is counted where it
//! waits, not by subtraction, so a mistake shows.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::{Registrar, count};

/// Shared by those who count, exclusive for a scrape.
pub(super) type Books = Arc<RwLock<()>>;

/// Loopback delivers in under a millisecond; a member that reads slowly is cut within some seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Value of the `source` label of publications that came from the bus.
const FROM_BUS: &str = "bus";
/// Value of the `reason` label of publications whose answer nobody waited for.
const ABANDONED: &str = "abandoned";

/// Who asked for a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A connected client.
    Client,
    /// The server API.
    Api,
}

impl Source {
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Api => "api",
        }
    }
}

/// The families, before a namespace is chosen.
#[derive(Clone)]
pub(super) struct MessageFamilies {
    pub(super) books: Books,
    offered: IntCounterVec,
    publications: IntCounterVec,
    repeated: IntCounterVec,
    refused: IntCounterVec,
    pending: IntGaugeVec,
    recovered: IntCounterVec,
    degraded: IntCounterVec,
    owed: IntCounterVec,
    deliveries: IntCounterVec,
    dropped: IntCounterVec,
    pub(super) queued: IntGauge,
    latency: HistogramVec,
    pub(super) bytes_sent: IntCounter,
    pub(super) bytes_received: IntCounter,
}

impl MessageFamilies {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            books: Books::default(),
            offered: registrar.counters(
                "natter_publications_offered_total",
                "Publications that clients and the API asked for; each is accepted, repeated, refused or pending",
                &["room_namespace", "source"],
            )?,
            publications: registrar.counters(
                "natter_publications_total",
                "Publications accepted from clients and the API, and those received from the bus",
                &["room_namespace", "source"],
            )?,
            repeated: registrar.counters(
                "natter_publications_repeated_total",
                "Publications answered as before, because their idempotency key was known",
                &["room_namespace"],
            )?,
            refused: registrar.counters(
                "natter_publications_refused_total",
                "Publications answered with an error, by reason",
                &["room_namespace", "reason"],
            )?,
            pending: registrar.gauges(
                "natter_publications_pending",
                "Publications that are being stored",
                &["room_namespace"],
            )?,
            recovered: registrar.counters(
                "natter_publications_recovered_total",
                "Missed publications that clients got with the answer to their join",
                &["room_namespace"],
            )?,
            degraded: registrar.counters(
                "natter_publications_degraded_total",
                "Publications that the members of this gateway alone got, because the bus was away",
                &["room_namespace"],
            )?,
            owed: registrar.counters(
                "natter_deliveries_owed_total",
                "Publications that reached a member, once for each; each is delivered, dropped or queued",
                &["room_namespace"],
            )?,
            deliveries: registrar.counters(
                "natter_deliveries_total",
                "Publications written to sockets, once for each socket",
                &["room_namespace"],
            )?,
            dropped: registrar.counters(
                "natter_deliveries_dropped_total",
                "Publications that a socket did not get, by reason",
                &["room_namespace", "reason"],
            )?,
            queued: registrar.gauge(
                "natter_deliveries_queued",
                "Publications that wait for their socket or for the answer to a join",
            )?,
            latency: registrar.histograms(
                "natter_delivery_latency_seconds",
                "From acceptance by a gateway until written to the socket, sampled",
                &["room_namespace"],
                &LATENCY_BUCKETS,
            )?,
            bytes_sent: registrar.counter("natter_bytes_sent_total", "Bytes written to client sockets")?,
            bytes_received: registrar
                .counter("natter_bytes_received_total", "Bytes read from client sockets")?,
        })
    }

    /// The number of labels is that of the families above, so `with_label_values` cannot fail.
    pub(super) fn namespace(&self, name: &str, index: usize) -> NamespaceMetrics {
        let source =
            |counters: &IntCounterVec, source: Source| counters.with_label_values(&[name, source.label()]);
        let of_clients =
            |counters: &IntCounterVec| [Source::Client, Source::Api].map(|from| source(counters, from));
        NamespaceMetrics {
            name: name.into(),
            index,
            books: self.books.clone(),
            offered: of_clients(&self.offered),
            accepted: of_clients(&self.publications),
            from_bus: self.publications.with_label_values(&[name, FROM_BUS]),
            repeated: self.repeated.with_label_values(&[name]),
            refused: self.refused.clone(),
            pending: self.pending.with_label_values(&[name]),
            recovered: self.recovered.with_label_values(&[name]),
            degraded: self.degraded.with_label_values(&[name]),
            owed: self.owed.with_label_values(&[name]),
            deliveries: self.deliveries.with_label_values(&[name]),
            dropped: self.dropped.clone(),
            latency: self.latency.with_label_values(&[name]),
        }
    }
}

/// The counters of one namespace, resolved once.
#[derive(Debug)]
pub struct NamespaceMetrics {
    name: Box<str>,
    /// Position in the workers' local counters.
    pub(super) index: usize,
    books: Books,
    /// By [`Source`].
    offered: [IntCounter; 2],
    accepted: [IntCounter; 2],
    from_bus: IntCounter,
    repeated: IntCounter,
    refused: IntCounterVec,
    pending: IntGauge,
    recovered: IntCounter,
    degraded: IntCounter,
    pub(super) owed: IntCounter,
    pub(super) deliveries: IntCounter,
    dropped: IntCounterVec,
    pub(super) latency: Histogram,
}

impl NamespaceMetrics {
    /// Value of the `namespace` label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A publication is asked for; what becomes of it is said to the answer.
    pub fn offer(self: &Arc<Self>, source: Source) -> Offer {
        let _books = self.books.read();
        self.offered[source as usize].inc();
        self.pending.inc();
        Offer {
            metrics: self.clone(),
            source,
            is_open: true,
        }
    }

    /// A publication was received from the bus, to be delivered here: once for each gateway, whatever the number of
    /// its workers.
    pub fn received(&self) {
        self.from_bus.inc();
    }

    /// A client got this many publications with the answer to its join.
    pub fn recovered(&self, publications: usize) {
        self.recovered.inc_by(publications as u64);
    }

    /// A publication goes to the members of this gateway only.
    pub fn degraded(&self) {
        self.degraded.inc();
    }

    /// `deliveries` did not reach their sockets. Called with the books held.
    pub(super) fn dropped(&self, reason: &'static str, deliveries: u64) {
        count(&self.dropped, &[&self.name, reason], deliveries);
    }
}

/// A publication that somebody asked for; it ends in one counter.
#[derive(Debug)]
pub struct Offer {
    metrics: Arc<NamespaceMetrics>,
    source: Source,
    is_open: bool,
}

impl Offer {
    /// The bus has taken it, or stored it in a durable room.
    pub fn accept(mut self) {
        self.end(|metrics, source| metrics.accepted[source as usize].inc());
    }

    /// It had been stored before.
    pub fn repeat(mut self) {
        self.end(|metrics, _| metrics.repeated.inc());
    }

    /// It was answered with an error; `reason` is the label of that error.
    pub fn refuse(mut self, reason: &'static str) {
        self.end(|metrics, _| count(&metrics.refused, &[&metrics.name, reason], 1));
    }

    fn end(&mut self, count: impl FnOnce(&NamespaceMetrics, Source)) {
        if std::mem::take(&mut self.is_open) {
            let _books = self.metrics.books.read();
            self.metrics.pending.dec();
            count(&self.metrics, self.source);
        }
    }
}

impl Drop for Offer {
    /// Nobody waits for the answer any more: it may or may not have been stored.
    fn drop(&mut self) {
        self.end(|metrics, _| count(&metrics.refused, &[&metrics.name, ABANDONED], 1));
    }
}

//! Publications and their deliveries, per namespace.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::family::{Registrar, count};

/// Loopback delivers in under a millisecond; a member that reads slowly is cut within some seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Where a publication reached this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Published by a connected client.
    Client,
    /// Published by the server API.
    Api,
    /// Received from the bus, to be delivered here: once for each gateway, whatever the number of its
    /// workers.
    Bus,
}

impl Source {
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Api => "api",
            Self::Bus => "bus",
        }
    }
}

/// The families, before a namespace is chosen.
#[derive(Clone)]
pub(super) struct MessageFamilies {
    publications: IntCounterVec,
    refused: IntCounterVec,
    deliveries: IntCounterVec,
    dropped: IntCounterVec,
    latency: HistogramVec,
    pub(super) bytes_sent: IntCounter,
    pub(super) bytes_received: IntCounter,
}

impl MessageFamilies {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            publications: registrar.counters(
                "natter_publications_total",
                "Publications accepted from clients and the API, and those received from the bus",
                &["namespace", "source"],
            )?,
            refused: registrar.counters(
                "natter_publications_refused_total",
                "Publications answered with an error, by reason",
                &["namespace", "reason"],
            )?,
            deliveries: registrar.counters(
                "natter_deliveries_total",
                "Publications written to sockets, once for each socket",
                &["namespace"],
            )?,
            dropped: registrar.counters(
                "natter_deliveries_dropped_total",
                "Publications that a socket did not get, by reason",
                &["namespace", "reason"],
            )?,
            latency: registrar.histograms(
                "natter_delivery_latency_seconds",
                "From acceptance by a gateway until written to the socket, sampled",
                &["namespace"],
                &LATENCY_BUCKETS,
            )?,
            bytes_sent: registrar.counter("natter_bytes_sent_total", "Bytes written to client sockets")?,
            bytes_received: registrar
                .counter("natter_bytes_received_total", "Bytes read from client sockets")?,
        })
    }

    /// The number of labels is that of the families above, so `with_label_values` cannot fail.
    pub(super) fn namespace(&self, name: &str, index: usize) -> NamespaceMetrics {
        let published = |source: Source| self.publications.with_label_values(&[name, source.label()]);
        NamespaceMetrics {
            name: name.into(),
            index,
            from_clients: published(Source::Client),
            from_api: published(Source::Api),
            from_bus: published(Source::Bus),
            refused: self.refused.clone(),
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
    from_clients: IntCounter,
    from_api: IntCounter,
    from_bus: IntCounter,
    refused: IntCounterVec,
    pub(super) deliveries: IntCounter,
    dropped: IntCounterVec,
    pub(super) latency: Histogram,
}

impl NamespaceMetrics {
    /// Value of the `namespace` label.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn published(&self, source: Source) {
        match source {
            Source::Client => self.from_clients.inc(),
            Source::Api => self.from_api.inc(),
            Source::Bus => self.from_bus.inc(),
        }
    }

    /// A publication was answered with an error; `reason` is the label of that error.
    pub fn refused(&self, reason: &'static str) {
        count(&self.refused, &[&self.name, reason], 1);
    }

    /// `deliveries` did not reach their sockets.
    pub fn dropped(&self, reason: &'static str, deliveries: u64) {
        count(&self.dropped, &[&self.name, reason], deliveries);
    }
}

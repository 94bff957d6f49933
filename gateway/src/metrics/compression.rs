//! Compressed messages: what clients offer, what is compressed and what that spares.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::family::{LabeledCounter, Registrar};

/// A message of 2 KiB takes some 25 microseconds, the largest that is compressed 2 to 4 milliseconds.
const TIME_BUCKETS: [f64; 8] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.005,
];

const ACCEPTED: &str = "accepted";
const DECLINED: &str = "declined";
const COMPRESSED: &str = "compressed";
const NOT_SHORTER: &str = "not_shorter";
const TOO_LARGE: &str = "too_large";

/// What compression costs and brings. Spared bytes go through the workers' counters.
#[derive(Clone, Debug)]
pub struct CompressionMetrics {
    offers: LabeledCounter,
    messages: LabeledCounter,
    input_bytes: IntCounter,
    output_bytes: IntCounter,
    time: Histogram,
    pub(super) spared_bytes: IntCounter,
}

impl CompressionMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            offers: registrar.labeled(
                "natter_compression_offers_total",
                "Connections that offered extensions while compression is on, by whether messages may be compressed",
                &["result"],
                [ACCEPTED, DECLINED],
            )?,
            messages: registrar.labeled(
                "natter_compression_messages_total",
                "Publications that were to be compressed, once for each gateway, by what came of it",
                &["result"],
                [COMPRESSED, NOT_SHORTER, TOO_LARGE],
            )?,
            input_bytes: registrar.counter(
                "natter_compression_input_bytes_total",
                "Bytes of the publications that were compressed, before it",
            )?,
            output_bytes: registrar.counter(
                "natter_compression_output_bytes_total",
                "Bytes of the publications that were compressed, after it",
            )?,
            time: registrar.histogram(
                "natter_compression_seconds",
                "Time in which a worker compressed one publication and did nothing else",
                &TIME_BUCKETS,
            )?,
            spared_bytes: registrar.counter(
                "natter_compression_spared_bytes_total",
                "Bytes that sockets were not given because members took publications compressed",
            )?,
        })
    }

    /// A client offered extensions; whether one of its offers was taken.
    pub fn offered(&self, accepted: bool) {
        self.offers.inc(if accepted { ACCEPTED } else { DECLINED });
    }

    /// A message was compressed; `output` is `None` when it did not become shorter. In bytes.
    pub fn compressed(&self, input: usize, output: Option<usize>, time: Duration) {
        self.time.observe(time.as_secs_f64());
        let Some(output) = output else {
            return self.messages.inc(NOT_SHORTER);
        };
        self.messages.inc(COMPRESSED);
        self.input_bytes.inc_by(input as u64);
        self.output_bytes.inc_by(output as u64);
    }

    /// A message would hold up its worker for too long.
    pub fn too_large(&self) {
        self.messages.inc(TOO_LARGE);
    }
}

//! What all connections of a run count together.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2Serializer},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::stamp::{Stamp, StampFinder};

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 600_000_000;

/// A histogram of microseconds.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_max(LONGEST, 3).context("cannot make a histogram")
}

/// Durations in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// All that was recorded, in microseconds: `HdrHistogram`'s V2 format in base64, which [`decode`] reads.
    pub histogram: String,
}

impl Quantiles {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let quantile = |quantile| milliseconds(histogram, quantile);
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: quantile(1.0),
            histogram: encode(histogram),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds up to minutes")]
pub fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Memory takes everything, and no count comes near the format's bound of 2^63.
    let _ = V2Serializer::new().serialize(histogram, &mut bytes);
    STANDARD.encode(bytes)
}

/// The histogram of [`Quantiles::histogram`].
pub fn decode(text: &str) -> anyhow::Result<Histogram<u64>> {
    let bytes = STANDARD
        .decode(text)
        .context("a histogram is not written in base64")?;
    let histogram = Deserializer::new().deserialize(&mut bytes.as_slice());
    histogram.context("a histogram is not in the V2 format")
}

#[derive(Debug)]
pub struct Tally {
    epoch: Instant,
    finder: RefCell<StampFinder>,
    /// Latencies of messages that were due at `from` or later.
    latencies: RefCell<Histogram<u64>>,
    from: Cell<u64>,
    pub deliveries: Cell<u64>,
    /// Received by the members, with the headers of frames.
    pub bytes: Cell<u64>,
    /// Those of them that came again, or after a later one.
    pub repeated: Cell<u64>,
    /// Commands and requests that failed.
    pub refused: Cell<u64>,
    /// Connections that ended before the run did.
    pub ended: Cell<u64>,
    /// The first thing that went wrong.
    pub trouble: RefCell<Option<String>>,
}

pub fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

impl Tally {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            finder: RefCell::default(),
            latencies: RefCell::new(histogram()?),
            from: Cell::new(0),
            deliveries: Cell::default(),
            bytes: Cell::default(),
            repeated: Cell::default(),
            refused: Cell::default(),
            ended: Cell::default(),
            trouble: RefCell::default(),
        })
    }

    /// Nanoseconds since the start of the run.
    pub fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment that [`Tally::now`] calls `nanos`.
    pub fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    /// Forgets the latencies, and those of messages that are still on their way.
    pub fn measure_from(&self, due: u64) {
        self.latencies.borrow_mut().reset();
        self.from.set(due);
    }

    pub fn latencies(&self) -> Quantiles {
        Quantiles::of(&self.latencies.borrow())
    }

    /// Deliveries that came once and in their order.
    pub fn in_order(&self) -> u64 {
        self.deliveries.get() - self.repeated.get()
    }

    /// A publication came at `now` to a member that waits for number `next`.
    pub fn delivered(&self, text: &[u8], now: u64, next: &mut u32) {
        let Some(Stamp { due, number }) = self.finder.borrow_mut().find(text) else {
            return self.refused(text);
        };
        add(&self.deliveries, 1);
        if number < *next {
            add(&self.repeated, 1);
        } else {
            *next = number + 1;
        }
        if due >= self.from.get() {
            let micros = now.saturating_sub(due) / 1_000;
            self.latencies.borrow_mut().saturating_record(micros);
        }
    }

    pub fn refused(&self, text: &[u8]) {
        add(&self.refused, 1);
        self.note(|| String::from_utf8_lossy(text).into_owned());
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        self.trouble.borrow_mut().get_or_insert_with(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_its_text() {
        let mut histogram = histogram().unwrap();
        for micros in [1, 250, 40_000, LONGEST] {
            histogram.saturating_record(micros);
        }
        assert_eq!(decode(&Quantiles::of(&histogram).histogram).unwrap(), histogram);
        assert!(decode("%").is_err() && decode("AAAA").is_err());
    }

    #[test]
    fn every_message_counts_once_and_from_when_it_was_due() {
        let tally = Tally::new().unwrap();
        let mut next = 0;
        let mut deliver = |number, due| {
            let message = Stamp { due, number }.message(100);
            tally.delivered(message.as_bytes(), due + 2_000_000, &mut next);
        };
        deliver(0, 10);
        tally.measure_from(20);
        deliver(1, 19);
        deliver(4, 20);
        deliver(4, 20);
        assert_eq!((tally.deliveries.get(), tally.repeated.get()), (4, 1));
        assert_eq!(tally.in_order(), 3);
        assert_eq!(tally.latencies.borrow().len(), 2);
        assert!((tally.latencies().p50 - 2.0).abs() < 0.01);
        assert_eq!(tally.refused.get(), 0);
    }
}

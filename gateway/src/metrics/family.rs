//! Registration of families, remembering each for the documentation.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// A family as the documentation lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Puts families into a registry.
pub(super) struct Registrar<'a> {
    registry: &'a Registry,
    families: Vec<Family>,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            families: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Family> {
        self.families
    }

    pub(super) fn registry(&self) -> &Registry {
        self.registry
    }

    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
    ) -> prometheus::Result<IntCounter> {
        self.add(
            IntCounter::new(name, help)?,
            Family {
                name,
                kind: "counter",
                labels: &[],
                help,
            },
        )
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> prometheus::Result<IntGauge> {
        self.add(
            IntGauge::new(name, help)?,
            Family {
                name,
                kind: "gauge",
                labels: &[],
                help,
            },
        )
    }

    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> prometheus::Result<IntGaugeVec> {
        self.add(
            IntGaugeVec::new(Opts::new(name, help), labels)?,
            Family {
                name,
                kind: "gauge",
                labels,
                help,
            },
        )
    }

    pub(super) fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(
            IntCounterVec::new(Opts::new(name, help), labels)?,
            Family {
                name,
                kind: "counter",
                labels,
                help,
            },
        )
    }

    /// A counter with one label. The series of `values` exist from the start, so that the first event is an
    /// increase.
    pub(super) fn labeled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static [&'static str; 1],
        values: impl IntoIterator<Item = &'static str>,
    ) -> prometheus::Result<LabeledCounter> {
        let counters = self.counters(name, help, label)?;
        for value in values {
            counters.get_metric_with_label_values(&[value])?;
        }
        Ok(LabeledCounter(counters))
    }

    /// `buckets` in seconds.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        buckets: &[f64],
    ) -> prometheus::Result<Histogram> {
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
        self.add(
            histogram,
            Family {
                name,
                kind: "histogram",
                labels: &[],
                help,
            },
        )
    }

    /// `buckets` in seconds.
    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let histograms = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
        self.add(
            histograms,
            Family {
                name,
                kind: "histogram",
                labels,
                help,
            },
        )
    }

    fn add<C: Collector + Clone + 'static>(&mut self, collector: C, family: Family) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        self.families.push(family);
        Ok(collector)
    }
}

/// Counters told apart by one label from a closed set: values are literals of the program, never input.
#[derive(Clone, Debug)]
pub struct LabeledCounter(IntCounterVec);

impl LabeledCounter {
    pub fn inc(&self, label: &'static str) {
        self.inc_by(label, 1);
    }

    pub fn inc_by(&self, label: &'static str, by: u64) {
        count(&self.0, &[label], by);
    }
}

/// Adds to one series. The number of labels is fixed where the family is registered, a mismatch cannot
/// happen.
pub(super) fn count(counters: &IntCounterVec, labels: &[&str], by: u64) {
    if let Ok(counter) = counters.get_metric_with_label_values(labels) {
        counter.inc_by(by);
    }
}

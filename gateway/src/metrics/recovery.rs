//! Clients that catch up in durable rooms.

use prometheus::IntCounter;

use super::family::{LabeledCounter, Registrar};

/// What recoveries cost and how they ended.
#[derive(Clone, Debug)]
pub struct RecoveryMetrics {
    reads: LabeledCounter,
    recoveries: LabeledCounter,
    unrecovered_loss: IntCounter,
}

const MEMORY: &str = "memory";
const BUS: &str = "bus";
const RECOVERED: &str = "recovered";
const NOT_RECOVERED: &str = "not_recovered";

impl RecoveryMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            reads: registrar.labeled(
                "natter_recovery_reads_total",
                "Pieces of history read for clients that recover, by where they came from",
                &["source"],
                [MEMORY, BUS],
            )?,
            recoveries: registrar.labeled(
                "natter_recoveries_total",
                "Clients that asked to recover, by the answer",
                &["result"],
                [RECOVERED, NOT_RECOVERED],
            )?,
            unrecovered_loss: registrar.counter(
                "natter_unrecovered_loss_total",
                "Gaps in the deliveries of durable rooms that could not be filled; clients were told",
            )?,
        })
    }

    /// A piece was at hand.
    pub fn from_memory(&self) {
        self.reads.inc(MEMORY);
    }

    /// A piece has to be read from the bus, for everybody who waits for it.
    pub fn from_bus(&self) {
        self.reads.inc(BUS);
    }

    /// A client was told whether it has everything.
    pub fn answered(&self, recovered: bool) {
        self.recoveries
            .inc(if recovered { RECOVERED } else { NOT_RECOVERED });
    }

    /// A gap cannot be filled.
    pub fn lost(&self) {
        self.unrecovered_loss.inc();
    }
}

//! TLS of the public port.

use prometheus::IntGauge;

use super::family::{LabeledCounter, Registrar};

const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

/// The certificate, and its changes.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    not_after: IntGauge,
    reloads: LabeledCounter,
}

impl TlsMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            not_after: registrar.gauge(
                "natter_tls_certificate_expiry_seconds",
                "Unix time at which the certificate of the public port ends, 0 without TLS",
            )?,
            reloads: registrar.labeled(
                "natter_tls_reloads_total",
                "Changes of the files of the public port's certificate, by whether they were taken",
                &["result"],
                [APPLIED, REFUSED],
            )?,
        })
    }

    /// A certificate is in force that ends at this Unix time.
    pub fn expires(&self, not_after: i64) {
        self.not_after.set(not_after);
    }

    /// The files changed.
    pub fn reloaded(&self, taken: bool) {
        self.reloads.inc(if taken { APPLIED } else { REFUSED });
    }
}

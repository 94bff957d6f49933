//! What follows from reading the Lease, without a client.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    jiff::Timestamp,
};
use tokio::time::Instant;

use super::DURATION_SECONDS;
use crate::controller::END_TIMEOUT;

/// An API server that has not answered for this time cannot be reached.
const SILENCE: Duration = Duration::from_secs(10);
/// A Lease that nobody has renewed for this time cannot be written.
const UNRENEWED: Duration = Duration::from_mins(1);

/// What was read so far.
pub(super) struct Reading {
    identity: String,
    /// When the API server last answered.
    answered: Instant,
    error: String,
    /// Who renewed it when, as last read, and since when it says so.
    renewal: Option<(Option<String>, Timestamp)>,
    renewed: Instant,
    /// Until when this operator may lead.
    until: Option<Instant>,
}

impl Reading {
    pub(super) fn new(identity: &str, now: Instant) -> Self {
        Self {
            identity: identity.to_owned(),
            answered: now,
            error: String::new(),
            renewal: None,
            renewed: now,
            until: None,
        }
    }

    /// Takes in what was read; `clock` is the time of day.
    pub(super) fn take(&mut self, read: Result<Lease, String>, now: Instant, clock: Timestamp) {
        let lease = match read {
            Ok(lease) => lease,
            Err(error) => {
                self.error = error;
                return;
            }
        };
        self.answered = now;
        let spec = lease.spec.unwrap_or_default();
        self.until = self.term(&spec, now, clock);
        let renewal = spec.renew_time.map(|time| (spec.holder_identity, time.0));
        if renewal != self.renewal {
            self.renewal = renewal;
            self.renewed = now;
        }
    }

    /// A lease of our own was renewed by our own clock. The term ends before the lease, so that what is under way can end.
    fn term(&self, spec: &LeaseSpec, now: Instant, clock: Timestamp) -> Option<Instant> {
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return None;
        }
        let renewed = spec.renew_time.as_ref()?.0;
        let age = Duration::try_from(clock.duration_since(renewed)).unwrap_or_default();
        let term = Duration::from_secs(DURATION_SECONDS).saturating_sub(END_TIMEOUT);
        Some(now + term.saturating_sub(age))
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether this operator may lead.
    pub(super) fn is_ours(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Why this operator could not take over, or go on.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        if now.duration_since(self.answered) >= SILENCE {
            return Some(format!(
                "the API server does not answer for the Lease: {}",
                self.error
            ));
        }
        let unrenewed = now.duration_since(self.renewed) >= UNRENEWED;
        unrenewed.then(|| "the Lease is not renewed by anybody, and cannot be taken".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEWED: &str = "2026-11-21T10:00:00Z";

    fn lease(holder: &str, renewed: &str) -> Lease {
        let lease = serde_json::json!({"spec": {"holderIdentity": holder, "renewTime": renewed}});
        serde_json::from_value(lease).unwrap()
    }

    fn clock(seconds: i64) -> Timestamp {
        let renewed: Timestamp = RENEWED.parse().unwrap();
        Timestamp::from_second(renewed.as_second() + seconds).unwrap()
    }

    #[test]
    fn an_operator_leads_for_as_long_as_the_lease_says() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reading = Reading::new("a", start);
        assert!(!reading.is_ours(start));
        reading.take(Ok(lease("b", RENEWED)), start, clock(0));
        assert!(!reading.is_ours(start), "somebody else's");
        reading.take(Ok(lease("a", RENEWED)), at(2), clock(2));
        assert!(reading.is_ours(at(11)));
        assert!(!reading.is_ours(at(12)), "what is under way has to end");
        for second in [4, 8, 12] {
            reading.take(Err("refused".to_owned()), at(second), clock(2));
        }
        assert!(reading.is_ours(at(11)) && reading.trouble(at(11)).is_none());
        assert!(!reading.is_ours(at(12)));
        assert_eq!(
            reading.trouble(at(12)).unwrap(),
            "the API server does not answer for the Lease: refused"
        );
        reading.take(Ok(lease("a", "2026-11-21T10:00:20Z")), at(20), clock(20));
        assert!(reading.is_ours(at(20)) && reading.trouble(at(20)).is_none());
    }

    #[test]
    fn a_lease_that_nobody_renews_is_trouble() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reading = Reading::new("a", start);
        reading.take(Ok(lease("b", RENEWED)), at(1), clock(1));
        reading.take(Ok(lease("b", RENEWED)), at(60), clock(60));
        assert_eq!(reading.trouble(at(60)), None);
        reading.take(Ok(lease("b", RENEWED)), at(61), clock(61));
        assert!(reading.trouble(at(61)).is_some());
        reading.take(Ok(lease("b", "2026-11-21T10:01:01Z")), at(62), clock(62));
        assert_eq!(reading.trouble(at(62)), None);
    }
}

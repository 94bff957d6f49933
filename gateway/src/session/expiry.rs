//! Connections and subscriptions with an end: who does not renew them in time is let go.
//!
//! Ends are Unix times, as backends say them. The session's one timer also wakes it for the soonest of them; when its
//! heartbeat is due after that is kept meanwhile. The delays of `client` leave a client time to renew by itself.

use std::{
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use natter_protocol::{DisconnectCode, ErrorCode, Push, RefreshResult, SubscribeResult, UnsubscribeCode};
use tokio::time::Instant;

use super::{Ending, Session, Wish};
use crate::worker::Worker;

/// Beyond a year it is no end but a slip, and centrifuge counts no further.
const MAX_TTL: Duration = Duration::from_hours(365 * 24);

/// What is left until a Unix time in seconds; `None` when it has passed.
pub fn time_until(unix: u64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(unix).checked_sub(now)?;
    (!left.is_zero()).then(|| left.min(MAX_TTL))
}

/// How the protocol says that there is an end (0: there is none), in whole seconds, the begun one counted.
pub(super) fn told(expire_at: u64) -> RefreshResult {
    let left = time_until(expire_at).unwrap_or_default();
    RefreshResult {
        expires: expire_at != 0,
        ttl: u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
    }
}

impl Session {
    /// Changes when the connection ends, and what others are told of it, by order of the server API.
    pub fn refresh_by_order(self: &Rc<Self>, worker: &Rc<Worker>, expire_at: u64, info: &Bytes) {
        if self.set_expiry(worker, expire_at).is_err() {
            return self.end(worker, &Ending::Disconnect(DisconnectCode::Expired));
        }
        if !info.is_empty() {
            self.with_terms(|terms| terms.info = info.clone());
            self.reappear(worker);
        }
        self.push_message(worker, &Push::Refresh(told(expire_at)), None);
    }

    /// From now on the connection ends then; 0: never.
    pub(super) fn set_expiry(self: &Rc<Self>, worker: &Rc<Worker>, expire_at: u64) -> Result<(), ErrorCode> {
        let delay = worker.live().settings.client.expired_close_delay;
        let end = deadline(expire_at, delay)?;
        if end.is_some() || self.has_terms() {
            self.with_terms(|terms| {
                terms.expire_at = expire_at;
                terms.end = end;
            });
            self.wait_for_ends(worker);
        }
        Ok(())
    }

    /// Tells with the answer to a client's join when the subscription ends.
    pub(super) fn tell_end<'a>(wish: &Wish, result: &SubscribeResult<'a>) -> SubscribeResult<'a> {
        let end = told(wish.grant().map_or(0, |grant| grant.expire_at));
        SubscribeResult {
            expires: end.expires,
            ttl: end.ttl,
            ..result.clone()
        }
    }

    /// An end was set: the timer may have to fire earlier.
    pub(super) fn wait_for_ends(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.is_over() {
            return;
        }
        let kept = self.with_terms(|terms| terms.heartbeat_due);
        if let Some(due) = kept.or_else(|| worker.timer_due(self)) {
            self.rest(worker, due.saturating_duration_since(Instant::now()));
        }
    }

    /// Waits for the heartbeat, or for an end that comes before it.
    pub(super) fn rest(self: &Rc<Self>, worker: &Rc<Worker>, heartbeat: Duration) {
        let Some(end) = self.soonest_end() else {
            if self.has_terms() {
                self.with_terms(|terms| terms.heartbeat_due = None);
            }
            return worker.schedule(self, heartbeat);
        };
        let now = Instant::now();
        let due = now + heartbeat;
        self.with_terms(|terms| terms.heartbeat_due = Some(due));
        worker.schedule(self, end.min(due).saturating_duration_since(now));
    }

    /// The timer fired: ends what is at its end. Whether that was all it fired for.
    pub(super) fn end_what_expired(self: &Rc<Self>, worker: &Rc<Worker>) -> bool {
        if !self.has_terms() {
            return false;
        }
        let now = Instant::now();
        let (is_expired, rooms, due) = self.with_terms(|terms| {
            (
                terms.end.is_some_and(|end| end <= now),
                terms.expired_rooms(now),
                terms.heartbeat_due,
            )
        });
        if is_expired {
            self.end(worker, &Ending::Disconnect(DisconnectCode::Expired));
        }
        for channel in rooms {
            // It cannot renew what it did not ask for.
            if self.is_in_by_server(&channel) {
                self.end(worker, &Ending::Disconnect(DisconnectCode::SubscriptionExpired));
            } else {
                self.unsubscribe_with(worker, &channel, UnsubscribeCode::Expired);
            }
        }
        match due {
            _ if self.is_over() => true,
            Some(due) if due > now => {
                self.rest(worker, due - now);
                true
            }
            _ => false,
        }
    }
}

/// When to end what expires then; `None` when it does not.
pub(super) fn deadline(expire_at: u64, delay: Duration) -> Result<Option<Instant>, ErrorCode> {
    if expire_at == 0 {
        return Ok(None);
    }
    let left = time_until(expire_at).ok_or(ErrorCode::Expired)?;
    Ok(Some(Instant::now() + left + delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn an_end_is_told_in_seconds_and_within_a_year() {
        assert_eq!(told(0), RefreshResult::default());
        let soon = told(now() + 60);
        assert!(soon.expires && (59..=60).contains(&soon.ttl), "{soon:?}");
        assert_eq!(told(u64::MAX).ttl, 365 * 24 * 3600);
    }

    #[test]
    fn what_has_passed_is_no_end_to_wait_for() {
        assert_eq!(time_until(now() - 1), None);
        assert_eq!(
            deadline(now() - 1, Duration::from_secs(25)),
            Err(ErrorCode::Expired)
        );
        assert_eq!(deadline(0, Duration::ZERO), Ok(None));
        assert!(deadline(u64::MAX, Duration::from_hours(24)).unwrap().is_some());
    }
}

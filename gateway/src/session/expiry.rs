//! Connections and subscriptions with an end: what nobody renews in time is let go.
//!
//! Ends are Unix times, as backends say them. The session's one timer also wakes it for the soonest of them; when its
//! heartbeat is due after that is kept meanwhile. The delays of `client` leave time to renew: to the client by itself, or to a
//! backend, which is asked in the first of it (`backend/renewing`).

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use natter_protocol::{DisconnectCode, ErrorCode, Push, RefreshResult, SubscribeResult, UnsubscribeCode};
use tokio::time::Instant;

use super::{Ending, Session, Wish};
use crate::{channel::Channel, clock::since_epoch, room::Room, worker::Worker};

/// Beyond a year it is no end but a slip, and centrifuge counts no further.
const MAX_TTL: Duration = Duration::from_hours(365 * 24);

/// What may have an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expiring {
    Connection,
    Room(Channel),
}

/// When it is looked at whether something is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// `None` while it is looked at.
    due: Option<Instant>,
    /// Afterwards it is too late to renew it.
    last: Instant,
}

impl Expiring {
    /// Time that is left to it after its end.
    pub(super) fn delay(&self, worker: &Worker) -> Duration {
        let client = &worker.live().settings.client;
        match self {
            Self::Connection => client.expired_close_delay,
            Self::Room(_) => client.expired_sub_close_delay,
        }
    }

    /// When to look at it that expires then; `None` when it does not.
    pub(super) fn end(&self, worker: &Worker, expire_at: u64) -> Result<Option<End>, ErrorCode> {
        if expire_at == 0 {
            return Ok(None);
        }
        End::new(expire_at, self.delay(worker), self.proxy(worker).is_some()).map(Some)
    }
}

impl End {
    /// Backends are asked early, and not all at once: much may end in one second.
    fn new(expire_at: u64, delay: Duration, by_backend: bool) -> Result<Self, ErrorCode> {
        let end = Instant::now() + time_until(expire_at).ok_or(ErrorCode::Expired)?;
        let last = end + delay;
        let due = if by_backend {
            end + share(delay).mul_f64(fastrand::f64())
        } else {
            last
        };
        Ok(Self { due: Some(due), last })
    }

    /// Of what is over already.
    pub(super) fn now() -> Self {
        let now = Instant::now();
        Self {
            due: Some(now),
            last: now,
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is to be looked at by now; then nobody else is told so.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

/// What of a delay passes on average between two questions about one thing.
pub(super) fn share(delay: Duration) -> Duration {
    delay / 8
}

/// What is left until a Unix time in seconds; `None` when it has passed.
pub fn time_until(unix: u64) -> Option<Duration> {
    let left = Duration::from_secs(unix).checked_sub(since_epoch())?;
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
        let end = Expiring::Connection.end(worker, expire_at)?;
        if end.is_some() || self.has_terms() {
            self.stop_renewing(worker, &Expiring::Connection);
            self.with_terms(|terms| {
                terms.expire_at = expire_at;
                terms.end = end;
            });
            self.wait_for_ends(worker);
        }
        Ok(())
    }

    /// From now on the subscription ends then; 0: never.
    pub(super) fn set_room_expiry(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &Channel,
        expire_at: u64,
    ) -> Result<(), ErrorCode> {
        let what = Expiring::Room(channel.clone());
        let end = what.end(worker, expire_at)?;
        self.with_terms(|terms| terms.set_room_end(channel, end));
        self.wait_for_ends(worker);
        Ok(())
    }

    /// How the client is told when its connection ends.
    pub(super) fn told_end(&self, worker: &Worker) -> RefreshResult {
        let expire_at = self.terms.borrow().as_ref().map_or(0, |terms| terms.expire_at);
        told_to_client(worker, &Expiring::Connection, expire_at)
    }

    /// Tells with the answer to a client's join when the subscription ends.
    pub(super) fn tell_end<'a>(
        worker: &Worker,
        room: &Room,
        wish: &Wish,
        result: &SubscribeResult<'a>,
    ) -> SubscribeResult<'a> {
        let expire_at = wish.grant().map_or(0, |grant| grant.expire_at);
        let end = told_to_client(worker, &Expiring::Room(room.channel.clone()), expire_at);
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

    /// The timer fired: looks at what is at its end. Whether that was all it fired for.
    pub(super) fn end_what_expired(self: &Rc<Self>, worker: &Rc<Worker>) -> bool {
        if !self.has_terms() {
            return false;
        }
        let now = Instant::now();
        let (expired, due) = self.with_terms(|terms| (terms.take_expired(now), terms.heartbeat_due));
        for what in expired {
            if self.is_over() {
                break;
            }
            if what.proxy(worker).is_some() {
                self.renew(worker, what);
            } else if !self.look_again(&what, |last| last) {
                self.end_expired(worker, &what);
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

    /// Looks at it again when `at` says, which is given the last moment; false when that is too late.
    pub(super) fn look_again(&self, what: &Expiring, at: impl FnOnce(Instant) -> Instant) -> bool {
        self.with_terms(|terms| {
            let Some(end) = terms.end_of(what) else {
                return false;
            };
            let at = at(end.last);
            end.due = (at > Instant::now() && at <= end.last).then_some(at);
            end.due.is_some()
        })
    }

    /// Nobody has renewed it.
    pub(super) fn end_expired(self: &Rc<Self>, worker: &Rc<Worker>, what: &Expiring) {
        match what {
            Expiring::Connection => self.end(worker, &Ending::Disconnect(DisconnectCode::Expired)),
            // Its client does not know what it should ask for again.
            Expiring::Room(channel) if self.is_in_by_server(channel) => {
                self.end(worker, &Ending::Disconnect(DisconnectCode::SubscriptionExpired));
            }
            Expiring::Room(channel) => self.unsubscribe_with(worker, channel, UnsubscribeCode::Expired),
        }
    }
}

/// A client is told of the ends that are its own concern.
fn told_to_client(worker: &Worker, what: &Expiring, expire_at: u64) -> RefreshResult {
    if expire_at == 0 || what.proxy(worker).is_some() {
        return RefreshResult::default();
    }
    told(expire_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::unix_now;

    #[test]
    fn an_end_is_told_in_seconds_and_within_a_year() {
        assert_eq!(told(0), RefreshResult::default());
        let soon = told(unix_now() + 60);
        assert!(soon.expires && (59..=60).contains(&soon.ttl), "{soon:?}");
        assert_eq!(told(u64::MAX).ttl, 365 * 24 * 3600);
    }

    #[test]
    fn what_has_passed_is_no_end_to_wait_for() {
        assert_eq!(time_until(unix_now() - 1), None);
        let delay = Duration::from_secs(25);
        assert_eq!(End::new(unix_now() - 1, delay, false), Err(ErrorCode::Expired));
        assert!(End::new(u64::MAX, Duration::from_hours(24), true).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_is_asked_in_the_first_part_of_the_delay() {
        let delay = Duration::from_secs(24);
        let mut moments = Vec::new();
        for _ in 0..100 {
            let end = End::new(unix_now() + 60, delay, true).unwrap();
            let due = end.due.unwrap();
            let left = end.last - due;
            assert!((21..=24).contains(&left.as_secs()) && left <= delay, "{left:?}");
            moments.push(left);
        }
        moments.sort();
        moments.dedup();
        assert!(moments.len() > 50, "all at once");
        let end = End::new(unix_now() + 60, delay, false).unwrap();
        assert_eq!(end.due, Some(end.last));
    }

    #[test]
    fn what_is_due_is_taken_once() {
        let mut end = End::now();
        assert!(!end.take_due(end.last - Duration::from_nanos(1)));
        assert!(end.take_due(end.last) && !end.take_due(end.last));
    }
}

//! What of one gateway is limited across connections: users, rooms, keys of the server API, addresses.
//!
//! Every gateway counts for itself. What that means for a user or a room with connections at several gateways stands in
//! `docs/limits.md`.

use std::{
    fmt::Display,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{Level, info};

use super::{
    Limit,
    keyed::{Idle, Keyed},
    meter::{Meter, Nanos, Rate},
    place::{Addresses, Network, Place},
};
use crate::{
    config::{ClientSettings, RateLimits},
    metrics::LimitMetrics,
    telemetry::LogBudget,
};

/// How often what is idle is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The limits that connections share.
pub struct Limiter {
    started: Instant,
    metrics: LimitMetrics,
    log_budget: Arc<LogBudget>,
    users: Keyed<UserMeters>,
    rooms: Keyed<RoomMeter>,
    callers: Keyed<Meter>,
    wrong_keys: Keyed<Meter>,
    wrong_sessions: Keyed<Meter>,
    new_connections: Mutex<Meter>,
    /// Connections that hold a [`Place`].
    pub(super) places: AtomicU64,
    pub(super) addresses: Addresses,
}

/// What a user may still do.
#[derive(Default)]
struct UserMeters {
    commands: Meter,
    publications: Meter,
    reads: Meter,
}

impl Idle for UserMeters {
    fn is_idle(&self, now: Nanos) -> bool {
        [self.commands, self.publications, self.reads]
            .iter()
            .all(|meter| meter.is_idle(now))
    }
}

/// Publications of one room.
#[derive(Default)]
struct RoomMeter {
    meter: Meter,
    /// Publications of clients here that were counted when they came, and are not counted again when the bus brings them.
    own: u32,
}

impl Idle for RoomMeter {
    fn is_idle(&self, now: Nanos) -> bool {
        self.meter.is_idle(now)
    }
}

impl Limiter {
    pub fn new(metrics: LimitMetrics, log_budget: Arc<LogBudget>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            metrics,
            log_budget,
            users: Keyed::default(),
            rooms: Keyed::default(),
            callers: Keyed::default(),
            wrong_keys: Keyed::default(),
            wrong_sessions: Keyed::default(),
            new_connections: Mutex::default(),
            places: AtomicU64::new(0),
            addresses: Addresses::default(),
        })
    }

    /// The time that meters are told.
    pub fn now(&self) -> Nanos {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts and logs that a limit held something back. `whom` is for the log alone.
    pub fn reached(&self, limit: Limit, whom: &dyn Display) {
        let label = limit.label();
        self.metrics.reached(limit);
        if self.log_budget.cause(label, Level::INFO).admit() {
            info!(limit = label, %whom, "a limit is reached");
        }
    }

    /// A user's connection has said so much; returns for how long it should not say more.
    pub fn user_says(&self, user: &str, rates: &RateLimits, count: u32) -> Duration {
        if rates.user_commands == 0 || user.is_empty() {
            return Duration::ZERO;
        }
        let now = self.now();
        self.users.with(user, now, |user| {
            user.commands.owe(now, rates.user_commands, count)
        })
    }

    /// Whether a user may publish once more.
    pub fn user_publishes(&self, user: &str, rates: &RateLimits) -> bool {
        self.user_may(user, rates.user_publications, |user| &mut user.publications)
    }

    /// Whether a user may read history or presence once more.
    pub fn user_reads(&self, user: &str, rates: &RateLimits) -> bool {
        self.user_may(user, rates.user_reads, |user| &mut user.reads)
    }

    fn user_may(&self, user: &str, rate: Rate, meter: impl FnOnce(&mut UserMeters) -> &mut Meter) -> bool {
        if rate == 0 || user.is_empty() {
            return true;
        }
        let now = self.now();
        self.users.with(user, now, |user| meter(user).take(now, rate))
    }

    /// Whether a client may publish in a room once more.
    pub fn room_takes(&self, channel: &str, rate: Rate) -> bool {
        if rate == 0 {
            return true;
        }
        let now = self.now();
        self.rooms.with(channel, now, |room| {
            let taken = room.meter.take(now, rate);
            if taken {
                // Where nobody is in the room none comes back: what is remembered of them is bounded.
                room.own = (room.own + 1).min(rate.saturating_mul(2));
            }
            taken
        })
    }

    /// The bus brought a publication of a room, from wherever it is.
    pub fn room_given(&self, channel: &str, rate: Rate) {
        if rate == 0 {
            return;
        }
        let now = self.now();
        self.rooms
            .with(channel, now, |room| match room.own.checked_sub(1) {
                Some(own) => room.own = own,
                None => {
                    // More than the rate says, as the server API may publish: no more debt than others can see the end of.
                    room.meter.take(now, rate);
                }
            });
    }

    /// Whether whoever shows this key may call the server API once more.
    pub fn calls(&self, key: &[u8], rate: Rate) -> bool {
        self.may(&self.callers, key, rate)
    }

    /// Whether a wrong key from this address is answered as one.
    pub fn forgives(&self, address: IpAddr, rate: Rate) -> bool {
        self.is_forgiven(&self.wrong_keys, address, rate)
    }

    /// Whether one more request from this address for a stream that is none is nothing out of the ordinary.
    pub fn forgives_session(&self, address: IpAddr, rate: Rate) -> bool {
        self.is_forgiven(&self.wrong_sessions, address, rate)
    }

    fn is_forgiven(&self, meters: &Keyed<Meter>, address: IpAddr, rate: Rate) -> bool {
        self.may(meters, &Network::of(address), rate)
    }

    fn may(&self, meters: &Keyed<Meter>, key: &(impl Hash + ?Sized), rate: Rate) -> bool {
        if rate == 0 {
            return true;
        }
        let now = self.now();
        meters.with(key, now, |meter| meter.take(now, rate))
    }

    /// Whether one more connection may be opened, from this address; it is counted until the place is dropped.
    pub fn admit(
        self: &Arc<Self>,
        client: &ClientSettings,
        open: u64,
        address: Option<IpAddr>,
    ) -> Result<Option<Box<Place>>, Limit> {
        let place = Place::take(self, client, open, address)?;
        let rate = client.connection_rate_limit;
        if rate > 0 && !self.new_connections.lock().take(self.now(), rate) {
            return Err(Limit::ConnectionRate);
        }
        Ok(place)
    }

    /// Forgets what is idle, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.now();
            self.users.sweep(now);
            self.rooms.sweep(now);
            self.callers.sweep(now);
            self.wrong_keys.sweep(now);
            self.wrong_sessions.sweep(now);
            self.addresses.sweep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn limiter() -> Arc<Limiter> {
        Limiter::new(Metrics::new().unwrap().limits, Arc::new(LogBudget::new(1)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_other_gateways_publish_counts_and_what_comes_back_does_not() {
        let limiter = limiter();
        let takes = |limiter: &Limiter| limiter.room_takes("a", 5);
        assert_eq!((0..8).filter(|_| takes(&limiter)).count(), 8);
        // They come back.
        (0..8).for_each(|_| limiter.room_given("a", 5));
        assert!(takes(&limiter));
        limiter.room_given("a", 5);
        // One of another gateway.
        limiter.room_given("a", 5);
        assert!(!takes(&limiter));
        assert!(limiter.room_takes("b", 5), "another room");
        (0..1_000).for_each(|_| limiter.room_given("a", 5));
        tokio::time::advance(Duration::from_millis(200)).await;
        assert!(
            takes(&limiter),
            "others cannot silence a room for longer than the burst"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn users_do_not_share_and_anonymous_clients_have_no_user() {
        let limiter = limiter();
        let rates = RateLimits {
            user_publications: 1,
            user_reads: 1,
            user_commands: 10,
            ..RateLimits::default()
        };
        let publishes = |user| limiter.user_publishes(user, &rates);
        assert!(publishes("ann") && publishes("ann") && !publishes("ann") && publishes("ben"));
        assert!((0..9).all(|_| publishes("")));
        assert!(limiter.user_reads("ann", &rates));
        assert_eq!(limiter.user_says("ann", &rates, 30), Duration::from_secs(1));
        assert_eq!(limiter.user_says("ben", &rates, 20), Duration::ZERO);
    }
}

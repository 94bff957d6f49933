//! Writers: one message after the other, each tried until it is acknowledged, all tries with one key.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::door::{Answer, Door, Kind, Letter};
use crate::ledger::{Ledger, ROOMS};
use crate::scene::{LIMIT, Scene};

/// Between two messages of one writer: the pace of the run.
const PACE: Duration = Duration::from_millis(12);
/// Between two tries.
const BACKOFF: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without a key and never again.
    Once,
    /// With a key until acknowledged.
    Retried,
    /// As `Retried`, twice side by side at two gateways.
    Repeated,
}

/// What a run has. More writers than rooms, so that a room has several at once.
pub(crate) const WRITERS: [(Kind, Style); 8] = [
    (Kind::Socket, Style::Retried),
    (Kind::Socket, Style::Retried),
    (Kind::Socket, Style::Once),
    (Kind::Api, Style::Retried),
    (Kind::Api, Style::Repeated),
    (Kind::Rest, Style::Retried),
    (Kind::Rest, Style::Retried),
    (Kind::Rest, Style::Repeated),
];

pub(crate) struct Writer {
    number: usize,
    style: Style,
    door: Door,
    second: Door,
    scene: Arc<Scene>,
    ledger: Arc<Ledger>,
    random: Rng,
}

impl Writer {
    pub(crate) fn new(number: usize, scene: &Arc<Scene>, ledger: &Arc<Ledger>, seed: u64) -> Result<Self> {
        let (kind, style) = WRITERS[number];
        Ok(Self {
            number,
            style,
            door: Door::new(kind)?,
            second: Door::new(Kind::Rest)?,
            scene: scene.clone(),
            ledger: ledger.clone(),
            random: Rng::with_seed(seed),
        })
    }

    pub(crate) async fn run(mut self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut site = self.random.usize(..self.scene.sites.len());
        for message in 0_u64.. {
            pace.tick().await;
            if self.ledger.is_stopped() {
                return;
            }
            let room = self.random.usize(..ROOMS.len());
            let id = format!("w{}-{message}", self.number);
            self.ledger.begin(&id, room);
            self.write(&id, room, &mut site).await;
        }
    }

    async fn write(&mut self, id: &str, room: usize, site: &mut usize) {
        let key = (self.style != Style::Once).then_some(id);
        let letter = Letter {
            room: ROOMS[room],
            id,
            key,
        };
        let others = self.scene.sites.len();
        let mut second_site = (*site + 1) % others;
        let Self {
            door,
            second,
            scene,
            ledger,
            style,
            ..
        } = self;
        let first = until_stored(door, scene, ledger, letter, site);
        let stored = if *style == Style::Repeated {
            let repeated = until_stored(second, scene, ledger, letter, &mut second_site);
            let (first, repeated) = tokio::join!(first, repeated);
            if let (Some(Some(first)), Some(Some(second))) = (first, repeated) {
                ledger.repeats.fetch_add(1, Ordering::Relaxed);
                if first != second {
                    ledger.problem(format!("{id} is at {first} and at {second}"));
                }
            }
            first.or(repeated)
        } else {
            first.await
        };
        if let Some(offset) = stored {
            ledger.acknowledge(id, offset);
        }
    }
}

/// The offset as the door tells it; `None` when the outcome stays unknown.
async fn until_stored(
    door: &mut Door,
    scene: &Scene,
    ledger: &Ledger,
    letter: Letter<'_>,
    site: &mut usize,
) -> Option<Option<u64>> {
    let began = Instant::now();
    loop {
        match door.store(&scene.sites, *site, letter).await {
            Ok(Answer::Stored(offset)) => return Some(offset),
            Ok(Answer::Unknown) => {}
            Err(error) => ledger.problem(format!("{}: {error:#}", letter.id)),
        }
        *site = (*site + 1) % scene.sites.len();
        // Without a key a second try might be a second message.
        letter.key?;
        ledger.retries.fetch_add(1, Ordering::Relaxed);
        if began.elapsed() > LIMIT {
            ledger.problem(format!("{} was not acknowledged within {LIMIT:?}", letter.id));
            return None;
        }
        sleep(BACKOFF).await;
    }
}

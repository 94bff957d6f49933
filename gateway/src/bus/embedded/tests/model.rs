//! Random work in one room, compared with a list that is searched from end to end.

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Store {
        body: u8,
        key: Option<u8>,
    },
    Refused {
        body: u8,
        key: Option<u8>,
    },
    Read {
        since: Option<u64>,
        limit: usize,
        reverse: bool,
    },
    Remove,
    Subscribe,
    Unsubscribe,
    Wait {
        seconds: u64,
    },
    Reload {
        size: usize,
        ttl: u64,
        window: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::option::of(0..3_u8);
    prop_oneof![
        8 => (0..2_u8, key()).prop_map(|(body, key)| Step::Store { body, key }),
        1 => (0..2_u8, key()).prop_map(|(body, key)| Step::Refused { body, key }),
        6 => (prop::option::of(0..20_u64), 0..8_usize, any::<bool>())
            .prop_map(|(since, limit, reverse)| Step::Read { since, limit, reverse }),
        1 => Just(Step::Remove),
        1 => Just(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        3 => (0..8_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (1..6_usize, 1..20_u64, 1..20_u64)
            .prop_map(|(size, ttl, window)| Step::Reload { size, ttl, window: window.min(ttl) }),
    ]
}

/// Everything that was ever stored, and what of it still counts.
#[derive(Default)]
struct Model {
    stored: Vec<Stored>,
    ttl: Duration,
    window: Duration,
}

struct Stored {
    at: Instant,
    body: u8,
    key: Option<u8>,
    gone: bool,
}

impl Model {
    fn is_kept(&self, stored: &Stored) -> bool {
        !stored.gone && stored.at.elapsed() < self.ttl
    }

    /// Offsets of what is kept and of what is gone.
    fn offsets(&self, kept: bool) -> Vec<u64> {
        let matching = (1..)
            .zip(&self.stored)
            .filter(|(_, stored)| self.is_kept(stored) == kept);
        matching.map(|(offset, _)| offset).collect()
    }

    /// What time took away does not come back with a longer ttl.
    fn settle(&mut self) {
        for index in 0..self.stored.len() {
            self.stored[index].gone = !self.is_kept(&self.stored[index]);
        }
    }

    /// Answers the offset and whether it is a repeat.
    fn store(
        &mut self,
        options: &HistoryOptions,
        body: u8,
        key: Option<u8>,
        refused: bool,
    ) -> Result<(u64, bool), StoreError> {
        self.settle();
        self.ttl = options.ttl;
        self.settle();
        if key.is_some() {
            self.forget_keys();
            self.window = options.idempotency_window;
            self.forget_keys();
            if let Some((offset, first)) = (1..).zip(&self.stored).find(|(_, stored)| stored.key == key) {
                return if first.body == body {
                    Ok((offset, true))
                } else {
                    Err(StoreError::KeyReused)
                };
            }
        }
        if refused {
            return Err(BusError::Overloaded.into());
        }
        self.stored.push(Stored {
            at: Instant::now(),
            body,
            key,
            gone: false,
        });
        let excess = self.offsets(true).len().saturating_sub(options.size);
        let kept = self.stored.iter_mut().filter(|stored| !stored.gone);
        kept.take(excess).for_each(|stored| stored.gone = true);
        Ok((self.stored.len() as u64, false))
    }

    fn forget_keys(&mut self) {
        for stored in &mut self.stored {
            stored.key = stored.key.filter(|_| stored.at.elapsed() < self.window);
        }
    }

    fn read(&self, since: Option<u64>, limit: usize, reverse: bool) -> (Vec<u64>, bool) {
        let head = self.stored.len() as u64;
        let mut offsets = self.offsets(true);
        let gone = self.offsets(false);
        let Some(since) = since else {
            if reverse {
                offsets.reverse();
            }
            offsets.truncate(limit);
            return (offsets, true);
        };
        if reverse {
            offsets.retain(|offset| *offset < since && since <= head + 1);
            offsets.reverse();
        } else {
            offsets.retain(|offset| *offset > since);
        }
        offsets.truncate(limit);
        let nearest = if reverse {
            since.saturating_sub(1).min(head)
        } else {
            since + 1
        };
        let known = reverse || since <= head;
        (offsets, known && !gone.contains(&nearest))
    }
}

async fn run(steps: Vec<Step>) {
    let mut rooms = Rooms::new(3);
    let mut model = Model::default();
    let epoch = rooms.position("room").epoch;
    for step in steps {
        match step {
            Step::Store { body, key } => check_store(&rooms, &mut model, body, key, false),
            Step::Refused { body, key } => check_store(&rooms, &mut model, body, key, true),
            Step::Read {
                since,
                limit,
                reverse,
            } => {
                let page = rooms.page("room", since, limit, reverse);
                let expected = model.read(since, limit, reverse);
                assert_eq!(
                    (offsets(&page), page.complete),
                    expected,
                    "since {since:?}, reverse {reverse}"
                );
            }
            Step::Remove => {
                rooms.remove("room");
                model.stored.iter_mut().for_each(|stored| stored.gone = true);
            }
            Step::Subscribe => assert_eq!(rooms.subscribe("room").offset, model.stored.len() as u64),
            Step::Unsubscribe => rooms.bus.unsubscribe(&"room".into()),
            Step::Wait { seconds } => {
                advance(Duration::from_secs(seconds)).await;
                tokio::task::yield_now().await;
            }
            Step::Reload { size, ttl, window } => rooms.set(|options| {
                options.size = size;
                options.ttl = Duration::from_secs(ttl);
                options.idempotency_window = Duration::from_secs(window);
            }),
        }
        let head = rooms.position("room");
        assert_eq!((&head.epoch, head.offset), (&epoch, model.stored.len() as u64));
    }
    let delivered: Vec<_> = rooms
        .sink
        .delivered
        .lock()
        .iter()
        .map(|(_, offset)| *offset)
        .collect();
    assert!(delivered.iter().copied().eq(1..=model.stored.len() as u64));
}

fn check_store(rooms: &Rooms, model: &mut Model, body: u8, key: Option<u8>, refused: bool) {
    rooms.sink.full.store(refused, Ordering::Relaxed);
    let name = key.map(|key| key.to_string());
    let receipt = rooms.store("room", &body.to_string(), name.as_deref());
    let receipt = receipt.map(|receipt| (receipt.position.offset, receipt.repeated));
    assert_eq!(receipt, model.store(&rooms.policy.options, body, key, refused));
}

proptest! {
    #[test]
    fn a_room_is_what_a_list_would_be(steps in prop::collection::vec(step(), 1..80)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(run(steps));
    }
}

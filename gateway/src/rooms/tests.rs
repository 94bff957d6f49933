use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch};

use super::*;
use crate::{
    bus::{BoxFuture, Bus, BusStatus, Recipient},
    metrics::Metrics,
    publication::Publication,
};

/// A bus that only counts subscriptions and refuses those of rooms named `refused`.
#[derive(Default)]
struct Counting {
    subscribed: Mutex<Vec<Channel>>,
}

impl Bus for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn publish(&self, _: &str, _: &Publication) -> Result<(), BusError> {
        Ok(())
    }

    fn subscribe(&self, channel: Channel) -> BoxFuture<Result<(), BusError>> {
        let result = if &*channel == "refused" {
            Err(BusError::Refused)
        } else {
            Ok(())
        };
        self.subscribed.lock().push(channel);
        Box::pin(std::future::ready(result))
    }

    fn unsubscribe(&self, channel: &Channel) {
        self.subscribed.lock().retain(|other| other != channel);
    }

    fn send(&self, _: Recipient, _: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    fn is_up(&self) -> bool {
        true
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        watch::Sender::new(BusStatus::Up).subscribe()
    }

    fn max_message_size(&self) -> usize {
        usize::MAX
    }

    fn server(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

const LINGER: Duration = Duration::from_secs(2);

struct Fixture {
    rooms: Arc<Rooms>,
    bus: Arc<Counting>,
    inboxes: Vec<Arc<Inbox>>,
    room: Channel,
}

impl Fixture {
    fn start() -> Self {
        let inboxes: Vec<_> = (0..2).map(|_| Arc::<Inbox>::default()).collect();
        let (rooms, linger) = Rooms::new(inboxes.clone(), Metrics::new().unwrap().rooms.clone());
        let bus = Arc::new(Counting::default());
        tokio::spawn(linger.run(rooms.clone(), bus.clone(), LINGER));
        Self {
            rooms,
            bus,
            inboxes,
            room: "lobby".into(),
        }
    }

    fn join(&self, channel: &Channel, worker: WorkerId) -> Joined {
        self.rooms.join(
            channel,
            worker,
            || Some(self.bus.subscribe(channel.clone())),
            &Handle::current(),
        )
    }

    async fn note(&self, worker: WorkerId) -> Note {
        std::future::poll_fn(|cx| self.inboxes[worker].poll_take(cx))
            .await
            .pop_front()
            .unwrap()
    }

    fn is_silent(&self, worker: WorkerId) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        matches!(self.inboxes[worker].poll_take(&mut cx), Poll::Pending)
    }

    fn subscriptions(&self) -> usize {
        self.bus.subscribed.lock().len()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_join_subscribes_and_the_last_leave_unsubscribes_after_the_linger() {
    let fixture = Fixture::start();
    assert!(matches!(fixture.join(&fixture.room, 0), Joined::Pending(_)));
    assert!(matches!(fixture.note(0).await, Note::RoomLive { .. }));
    assert!(matches!(fixture.join(&fixture.room, 1), Joined::Live(_)));
    assert_eq!(fixture.subscriptions(), 1);

    fixture.rooms.leave(&fixture.room, 0);
    tokio::time::sleep(LINGER * 2).await;
    assert_eq!(fixture.subscriptions(), 1, "worker 1 still has members");
    fixture.rooms.leave(&fixture.room, 1);
    tokio::time::sleep(LINGER / 2).await;
    assert_eq!(fixture.subscriptions(), 1, "the room lingers");
    tokio::time::sleep(LINGER).await;
    assert_eq!((fixture.subscriptions(), fixture.rooms.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_page_reload_does_not_flap_and_starts_the_linger_afresh() {
    let fixture = Fixture::start();
    fixture.join(&fixture.room, 0);
    fixture.note(0).await;
    for _ in 0..5 {
        fixture.rooms.leave(&fixture.room, 0);
        tokio::time::sleep(LINGER / 4 * 3).await;
        assert!(matches!(fixture.join(&fixture.room, 0), Joined::Live(_)));
    }
    fixture.rooms.leave(&fixture.room, 0);
    tokio::time::sleep(LINGER / 4 * 3).await;
    assert_eq!(
        fixture.subscriptions(),
        1,
        "an earlier leave must not end the linger of a later one"
    );
    tokio::time::sleep(LINGER).await;
    assert_eq!(fixture.subscriptions(), 0);
}

#[tokio::test(start_paused = true)]
async fn workers_that_join_while_the_bus_is_asked_are_told_too() {
    let fixture = Fixture::start();
    assert!(matches!(fixture.join(&fixture.room, 0), Joined::Pending(_)));
    assert!(matches!(fixture.join(&fixture.room, 1), Joined::Pending(_)));
    assert!(matches!(fixture.note(0).await, Note::RoomLive { .. }));
    assert!(matches!(fixture.note(1).await, Note::RoomLive { .. }));
    assert_eq!(fixture.subscriptions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_left_before_it_was_live_is_unsubscribed_too() {
    let fixture = Fixture::start();
    fixture.join(&fixture.room, 0);
    fixture.rooms.leave(&fixture.room, 0);
    tokio::time::sleep(LINGER * 2).await;
    assert_eq!((fixture.subscriptions(), fixture.rooms.count()), (0, 0));
    assert!(fixture.is_silent(0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_room_is_forgotten_and_can_be_tried_again() {
    let fixture = Fixture::start();
    let refused = Channel::from("refused");
    let Joined::Pending(first) = fixture.join(&refused, 0) else {
        panic!("live at once")
    };
    let Note::RoomFailed {
        generation, error, ..
    } = fixture.note(0).await
    else {
        panic!("not failed")
    };
    assert_eq!((generation, error), (first, BusError::Refused));
    assert_eq!(fixture.rooms.count(), 0);
    let Joined::Pending(second) = fixture.join(&refused, 0) else {
        panic!("live at once")
    };
    assert_ne!(first, second);
}

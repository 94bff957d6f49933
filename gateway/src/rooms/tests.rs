use std::{
    collections::VecDeque,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch};

use super::*;
use crate::{
    bus::{BoxFuture, Bus, BusStatus, Changes, Keep, KeepError, Mark, Recipient},
    history::{Epoch, HistoryPolicy, Page, Position, Query, Receipt, StoreError},
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

    fn store(
        &self,
        _: &str,
        _: &Arc<HistoryPolicy>,
        _: &Publication,
        _: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        Box::pin(std::future::ready(Err(BusError::Refused.into())))
    }

    fn history(&self, _: &str, _: &Arc<HistoryPolicy>, _: Query) -> BoxFuture<Result<Page, BusError>> {
        Box::pin(std::future::ready(Err(BusError::Refused)))
    }

    fn remove_history(&self, _: &str, _: &Arc<HistoryPolicy>) -> BoxFuture<Result<(), BusError>> {
        Box::pin(std::future::ready(Err(BusError::Refused)))
    }

    fn subscribe(
        &self,
        channel: Channel,
        _: Option<Arc<HistoryPolicy>>,
    ) -> BoxFuture<Result<Option<Position>, BusError>> {
        let result = if &*channel == "refused" {
            Err(BusError::Refused)
        } else {
            Ok(None)
        };
        self.subscribed.lock().push(channel);
        // As a bus that has to be asked.
        Box::pin(async move {
            tokio::task::yield_now().await;
            result
        })
    }

    fn announce(&self, _: &str, _: Option<&Arc<HistoryPolicy>>, _: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    fn subscribe_later(&self, channel: Channel) {
        self.subscribed.lock().push(channel);
    }

    fn unsubscribe(&self, channel: &Channel) {
        self.subscribed.lock().retain(|other| other != channel);
    }

    fn send(&self, _: Recipient, _: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    fn keep(&self, _: Keep) -> BoxFuture<Result<Mark, KeepError>> {
        Box::pin(std::future::ready(Err(KeepError::Unavailable)))
    }

    fn changes(&self, _: Option<Mark>) -> BoxFuture<Result<Changes, KeepError>> {
        Box::pin(std::future::ready(Err(KeepError::Unavailable)))
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
            || Some(self.bus.subscribe(channel.clone(), None)),
            &Handle::current(),
        )
    }

    async fn notes(&self, worker: WorkerId) -> VecDeque<Note> {
        std::future::poll_fn(|cx| self.inboxes[worker].poll_take(cx)).await
    }

    /// The one note that waits.
    async fn note(&self, worker: WorkerId) -> Note {
        let mut notes = self.notes(worker).await;
        assert_eq!(notes.len(), 1);
        notes.remove(0).unwrap()
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
    assert!(matches!(fixture.join(&fixture.room, 1), Joined::Live(..)));
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
        assert!(matches!(fixture.join(&fixture.room, 0), Joined::Live(..)));
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

fn publication(offset: u64) -> Publication {
    let mut publication = Publication::new(&b"{}"[..]);
    publication.offset = offset;
    publication
}

fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from("epoch"),
        offset,
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_durable_room_is_given_before_it_is_live_counts_in_its_position() {
    let fixture = Fixture::start();
    let (answer, answered) = tokio::sync::oneshot::channel();
    fixture.rooms.join(
        &fixture.room,
        0,
        || Some(Box::pin(async { Ok(Some(answered.await.unwrap())) })),
        &Handle::current(),
    );
    let address = |_, publication: &Arc<Publication>, _| Some(Outgoing::of(publication.clone()));
    for offset in [7, 9] {
        fixture
            .rooms
            .deliver("lobby", publication(offset), address)
            .unwrap();
    }
    answer.send(position(7)).unwrap();
    assert_eq!(fixture.live().await, Some(position(9)));
    let recent = fixture
        .rooms
        .recent("lobby", &Epoch::from("epoch"), 7, 9)
        .unwrap();
    assert_eq!(
        recent
            .iter()
            .map(|publication| publication.offset)
            .collect::<Vec<_>>(),
        [9]
    );
    assert!(
        fixture
            .rooms
            .recent("lobby", &Epoch::from("epoch"), 6, 9)
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lingering_durable_room_keeps_its_position_up_to_date() {
    let fixture = Fixture::start();
    fixture.rooms.join(
        &fixture.room,
        0,
        || Some(Box::pin(std::future::ready(Ok(Some(position(3)))))),
        &Handle::current(),
    );
    fixture.note(0).await;
    fixture.rooms.leave(&fixture.room, 0);
    fixture
        .rooms
        .deliver("lobby", publication(5), |_, _, _| panic!("nobody is there"))
        .unwrap();
    let Joined::Live(_, now) = fixture.join(&fixture.room, 1) else {
        panic!("not live")
    };
    assert_eq!(now, Some(position(5)));
}

impl Fixture {
    /// A durable room that is live at `offset`.
    async fn live_at(offset: u64) -> Self {
        let fixture = Self::start();
        let subscribed = move || -> Option<BoxFuture<_>> {
            Some(Box::pin(std::future::ready(Ok(Some(position(offset))))))
        };
        fixture
            .rooms
            .join(&fixture.room, 0, subscribed, &Handle::current());
        fixture.note(0).await;
        fixture
    }

    /// The position at which the room is live, whatever worker 0 is told before.
    async fn live(&self) -> Option<Position> {
        loop {
            for note in self.notes(0).await {
                if let Note::RoomLive { position, .. } = note {
                    return position;
                }
            }
        }
    }

    fn publish(&self, offset: u64) {
        let address = |_, publication: &Arc<Publication>, _| Some(Outgoing::of(publication.clone()));
        self.rooms.deliver("lobby", publication(offset), address).unwrap();
    }

    fn recent(&self, epoch: &str, since: u64, until: u64) -> Option<Vec<u64>> {
        let recent = self.rooms.recent("lobby", &Epoch::from(epoch), since, until)?;
        Some(recent.iter().map(|publication| publication.offset).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_out_is_not_handed_out_again() {
    let fixture = Fixture::live_at(3).await;
    for offset in [5, 5, 4, 6] {
        fixture.publish(offset);
    }
    assert_eq!(fixture.recent("epoch", 3, 6), Some(vec![5, 6]));
    assert_eq!(fixture.recent("epoch", 3, 7), None, "nobody knows that yet");
    let notes = fixture.notes(0).await;
    let offsets = notes.iter().map(|note| match note {
        Note::Publication(outgoing) => outgoing.offset(),
        _ => 0,
    });
    assert_eq!(offsets.collect::<Vec<_>>(), [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn what_is_at_hand_counts_in_one_epoch() {
    let fixture = Fixture::live_at(3).await;
    fixture.publish(5);
    assert_eq!(fixture.recent("another", 3, 5), None);
    let head = Position {
        epoch: Epoch::from("another"),
        offset: 5,
    };
    fixture
        .rooms
        .remember("lobby", 1, &[Arc::new(publication(2))], &head);
    assert_eq!(fixture.recent("epoch", 1, 5), None);
    fixture
        .rooms
        .remember("lobby", 1, &[Arc::new(publication(2))], &position(5));
    assert_eq!(fixture.recent("epoch", 1, 5), Some(vec![2, 5]));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_is_not_at_hand() {
    let fixture = Fixture::live_at(3).await;
    fixture.publish(5);
    fixture.rooms.forget("lobby");
    assert_eq!(fixture.recent("epoch", 3, 5), None);
    fixture.publish(7);
    assert_eq!(fixture.recent("epoch", 5, 7), Some(vec![7]));
}

#[tokio::test(start_paused = true)]
async fn a_gap_found_before_the_room_is_live_stands() {
    let fixture = Fixture::start();
    let (answer, answered) = tokio::sync::oneshot::channel();
    fixture.rooms.join(
        &fixture.room,
        0,
        || Some(Box::pin(async { Ok(Some(answered.await.unwrap())) })),
        &Handle::current(),
    );
    fixture.rooms.lose("lobby", &position(9));
    answer.send(position(7)).unwrap();
    assert_eq!(fixture.live().await, Some(position(9)));
}

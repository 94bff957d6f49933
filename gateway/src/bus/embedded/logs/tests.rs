//! Which rooms are known, and for how long.

use tokio::time::advance;

use super::*;

const TTL: Duration = Duration::from_secs(10);
const MOST_OF_IDLE_TTL: Duration = IDLE_TTL.checked_sub(TTL).unwrap();

fn store(logs: &Logs, room: &str) -> Position {
    let options = HistoryOptions {
        ttl: TTL,
        idempotency_window: TTL,
        ..HistoryOptions::default()
    };
    let stored = logs.store(room, &options, &Publication::new("{}"), None, |_| Ok(()));
    stored.unwrap().position
}

fn position(logs: &Logs, room: &str) -> Position {
    let query = Query {
        since: None,
        limit: 0,
        reverse: false,
    };
    logs.page(room, &query).head
}

/// Rooms that are known, that hold something, that are idle.
fn count(logs: &Logs) -> (usize, usize, usize) {
    logs.shards
        .iter()
        .fold((0, 0, 0), |(rooms, holding, idle), shard| {
            let shard = shard.lock();
            (
                rooms + shard.rooms.len(),
                holding + shard.holding.len(),
                idle + shard.idle.len(),
            )
        })
}

async fn sweep_all(logs: &Logs) {
    while logs.visit().await {}
}

#[tokio::test(start_paused = true)]
async fn an_unused_room_is_forgotten_in_the_end() {
    let logs = Logs::new();
    let first = store(&logs, "room");
    assert_eq!(count(&logs), (1, 1, 0));
    advance(TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 1));
    advance(MOST_OF_IDLE_TTL).await;
    sweep_all(&logs).await;
    assert_eq!(position(&logs, "room"), first, "a question prolongs its life");
    advance(MOST_OF_IDLE_TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 1));
    advance(TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (0, 0, 0));
    let second = store(&logs, "room");
    assert_eq!(second.offset, 1);
    assert_ne!(second.epoch, first.epoch);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_somebody_is_in_is_not_forgotten() {
    let logs = Logs::new();
    let first = store(&logs, "room");
    assert_eq!(logs.subscribe("room"), first);
    let empty = logs.subscribe("empty");
    for _ in 0..2 {
        advance(IDLE_TTL).await;
        sweep_all(&logs).await;
        assert_eq!(count(&logs), (2, 0, 0));
    }
    assert_eq!(position(&logs, "room"), first);
    logs.unsubscribe(&"room".into());
    assert_eq!(count(&logs), (2, 0, 1));
    advance(IDLE_TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 0));
    assert_eq!(position(&logs, "empty"), empty);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_left_while_it_held_something_is_idle_later() {
    let logs = Logs::new();
    logs.subscribe("room");
    store(&logs, "room");
    logs.unsubscribe(&"room".into());
    assert_eq!(count(&logs), (1, 1, 0));
    advance(TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_room_at_work_is_left_to_the_next_visit() {
    let logs = Logs::new();
    store(&logs, "room");
    let at_work = logs.open("room", Purpose::Read);
    advance(TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 1, 0));
    drop(at_work);
    advance(SWEEP_INTERVAL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 1));

    let at_work = logs.open("room", Purpose::Read);
    advance(IDLE_TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (1, 0, 1));
    drop(at_work);
    advance(IDLE_TTL).await;
    sweep_all(&logs).await;
    assert_eq!(count(&logs), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_is_visited_no_more_than_once_a_ttl() {
    let logs = Logs::new();
    for _ in 0..30 {
        store(&logs, "room");
        advance(Duration::from_secs(1)).await;
        let due = logs.shard("room").lock().holding.first().map(|(due, _)| *due);
        assert!(due.is_some_and(|due| due <= Instant::now() + TTL));
        sweep_all(&logs).await;
        assert_eq!(count(&logs), (1, 1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_uses_do_not_fill_the_memory() {
    let logs = Logs {
        shards: vec![Mutex::default()],
        ..Logs::new()
    };
    let kept = store(&logs, "kept");
    let joined = logs.subscribe("joined");
    let first = position(&logs, "first");
    let asked_again = position(&logs, "asked again");
    for n in 1..MAX_IDLE_ROOMS_OF_SHARD {
        advance(Duration::from_nanos(1)).await;
        position(&logs, &n.to_string());
        position(&logs, "asked again");
    }
    assert_eq!(
        count(&logs),
        (MAX_IDLE_ROOMS_OF_SHARD + 2, 1, MAX_IDLE_ROOMS_OF_SHARD)
    );
    assert_ne!(
        position(&logs, "first").epoch,
        first.epoch,
        "the longest unused goes first"
    );
    for (room, before) in [("kept", kept), ("joined", joined), ("asked again", asked_again)] {
        assert_eq!(position(&logs, room), before);
    }
}

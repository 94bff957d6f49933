//! What time does to a room, on a clock that the test moves.

use std::sync::Weak;

use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

fn timed(ttl: Duration) -> Rooms {
    let mut rooms = Rooms::new(10);
    rooms.set(|options| {
        options.ttl = ttl;
        options.idempotency_window = ttl;
    });
    rooms
}

#[tokio::test(start_paused = true)]
async fn each_publication_grows_old_by_itself() {
    let rooms = timed(10 * SECOND);
    rooms.fill("room", 2);
    advance(4 * SECOND).await;
    rooms.fill("room", 1);
    advance(5_999 * MOMENT).await;
    assert_eq!(rooms.kept("room"), [1, 2, 3]);
    advance(MOMENT).await;
    assert_eq!(rooms.kept("room"), [3]);
    assert!(!rooms.page("room", Some(1), 10, false).complete);
    assert!(rooms.page("room", Some(2), 10, false).complete);
    advance(4 * SECOND).await;
    assert_eq!(rooms.kept("room"), [0; 0]);
    assert_eq!(rooms.fill("room", 1), 4);
    assert_eq!(rooms.kept("room"), [4]);
}

#[tokio::test(start_paused = true)]
async fn another_ttl_acts_at_the_next_store() {
    let mut rooms = timed(100 * SECOND);
    rooms.fill("room", 2);
    advance(20 * SECOND).await;
    rooms.set(|options| options.ttl = 10 * SECOND);
    assert_eq!(rooms.kept("room"), [1, 2]);
    rooms.fill("room", 1);
    assert_eq!(rooms.kept("room"), [3]);
    rooms.set(|options| options.ttl = 100 * SECOND);
    rooms.fill("room", 1);
    advance(99 * SECOND).await;
    assert_eq!(rooms.kept("room"), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_new_again_after_its_window() {
    let mut rooms = timed(60 * SECOND);
    rooms.set(|options| options.idempotency_window = 10 * SECOND);
    rooms.store("room", "1", Some("a")).unwrap();
    advance(5 * SECOND).await;
    rooms.store("room", "2", Some("b")).unwrap();
    advance(4_999 * MOMENT).await;
    assert!(rooms.store("room", "1", Some("a")).unwrap().repeated);
    advance(MOMENT).await;
    // A repeat does not prolong the window.
    assert_eq!(
        rooms.store("room", "other", Some("a")).unwrap().position.offset,
        3
    );
    assert_eq!(rooms.store("room", "1", Some("a")), Err(StoreError::KeyReused));
    assert!(rooms.store("room", "2", Some("b")).unwrap().repeated);
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_room_whose_history_was_removed_keep_their_window() {
    let rooms = timed(60 * SECOND);
    rooms.store("room", "1", Some("key")).unwrap();
    rooms.remove("room");
    sleep(59 * SECOND).await;
    assert!(rooms.store("room", "1", Some("key")).unwrap().repeated);
    sleep(SECOND).await;
    assert!(!rooms.store("room", "1", Some("key")).unwrap().repeated);
}

/// What lies in the room, as pointers that keep nothing alive.
fn watch(rooms: &Rooms, room: &str) -> Vec<Weak<Publication>> {
    rooms
        .page(room, None, usize::MAX, false)
        .publications
        .iter()
        .map(Arc::downgrade)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn memory_of_rooms_that_nobody_asks_for_is_given_back() {
    let rooms = timed(10 * SECOND);
    let names: Vec<_> = (0..2_000).map(|n| format!("room{n}")).collect();
    let mut watched = Vec::new();
    for name in &names {
        rooms.fill(name, 2);
        watched.extend(watch(&rooms, name));
    }
    let before: Vec<_> = names.iter().map(|name| rooms.position(name)).collect();
    let alive = |watched: &[Weak<Publication>]| watched.iter().filter(|weak| weak.strong_count() > 0).count();
    // The sweep comes by every second and needs a few turns for so many.
    sleep(9 * SECOND).await;
    assert_eq!(alive(&watched), 4_000);
    sleep(5 * SECOND).await;
    assert_eq!(alive(&watched), 0);
    let after: Vec<_> = names.iter().map(|name| rooms.position(name)).collect();
    assert_eq!(after, before, "positions outlive publications");
}

#[tokio::test(start_paused = true)]
async fn the_bus_leaves_no_task_behind() {
    let rooms = timed(10 * SECOND);
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(rooms);
    tokio::task::yield_now().await;
    assert_eq!(metrics.num_alive_tasks(), 0);
}

//! A worker with real sockets, turn by turn.

mod connect;
mod expiry;
mod fixture;
mod reads;
mod revoked;

use std::time::Duration;

use natter_protocol::UnsubscribeCode;
use tokio::{task::yield_now, time::advance};

use self::fixture::{Fixture, turns};
use crate::{
    bus::Overloaded,
    cluster::{Command, Order, Target},
    history::{Epoch, Position},
    inbox::Note,
    session::Wish,
};

/// Of a room that is given its publications in slices.
const LARGE: usize = 400;
const WINDOW: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_small_room_does_not_wait_for_a_large_one() {
    let count = 100;
    Fixture::run(Duration::ZERO, async |fixture| {
        let mut large = fixture.join_all("large", LARGE).await;
        let mut small = fixture.join("small").await;
        for number in 0..count {
            fixture.publish("large", number).unwrap();
        }
        fixture.publish("small", 0).unwrap();
        let mut turns = 0;
        while small.numbers().is_empty() {
            yield_now().await;
            turns += 1;
        }
        assert!(turns <= 4, "the small room waited for {turns} turns");

        let mut received = vec![Vec::new(); LARGE];
        let received_all = |received: &[Vec<usize>]| received.iter().all(|one| one.len() >= count);
        let mut further = 0;
        while !received_all(&received) {
            yield_now().await;
            further += 1;
            for (one, peer) in received.iter_mut().zip(&mut large) {
                one.extend(peer.numbers());
            }
        }
        assert!(further > 1, "the large room was no load");
        let expected: Vec<usize> = (0..count).collect();
        assert!(
            received.iter().all(|one| *one == expected),
            "not once and in order"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_collects_for_a_window_and_no_longer() {
    const EVERY: Duration = Duration::from_millis(1);
    Fixture::run(WINDOW, async |fixture| {
        let mut member = fixture.join("lobby").await;
        let (mut received, mut arrivals) = (Vec::new(), 0);
        for number in 0..100 {
            fixture.publish("lobby", number).unwrap();
            turns(4).await;
            let numbers = member.numbers();
            arrivals += usize::from(!numbers.is_empty());
            received.extend(numbers);
            assert!(
                number + 1 - received.len() <= 6,
                "{number} published, {received:?}"
            );
            advance(EVERY).await;
        }
        assert!(arrivals < 60, "100 publications came one by one");
        advance(Duration::from_millis(10)).await;
        turns(4).await;
        received.extend(member.numbers());
        assert_eq!(received, (0..100).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_publication_does_not_wait_for_the_timer() {
    Fixture::run(WINDOW, async |fixture| {
        let mut member = fixture.join("lobby").await;
        let mut arrivals = Vec::new();
        for number in 0..100 {
            advance(WINDOW * 2 / 5).await;
            fixture.publish("lobby", number).unwrap();
            turns(4).await;
            arrivals.push(member.numbers().len());
        }
        // Once the room is busy.
        let busy = &arrivals[50..];
        let all_of = |count| busy.iter().filter(|arrived| **arrived == count).count();
        assert_eq!((all_of(0), all_of(2)), (25, 25), "{busy:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_begun_goes_on_without_a_pause() {
    Fixture::run(WINDOW, async |fixture| {
        let mut members = fixture.join_all("large", LARGE).await;
        for number in 0..30 {
            fixture.publish("large", number).unwrap();
        }
        // No time passes here, but what is done takes turns.
        turns(50).await;
        let expected: Vec<usize> = (0..30).collect();
        assert!(members.iter_mut().all(|member| member.numbers() == expected));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_counted_and_given_as_its_publications() {
    Fixture::run(WINDOW, async |fixture| {
        let mut members = fixture.join_all("large", LARGE).await;
        let room = fixture.room("large");
        room.set_position(Some(Position {
            epoch: Epoch::from("epoch"),
            offset: 0,
        }));
        // Members take the places in the order in which they came; this one has some of the batch already.
        room.release(7, 4);
        for offset in 1..=10 {
            fixture.publish_at("large", offset).unwrap();
        }
        turns(50).await;
        for (place, member) in members.iter_mut().enumerate() {
            let first = if place == 7 { 5 } else { 1 };
            assert_eq!(member.numbers(), (first..=10).collect::<Vec<_>>(), "{place}");
        }
        let due = LARGE * 10 - 4;
        let text = fixture.worker.gateway.metrics.encode().unwrap();
        for name in ["natter_deliveries_owed_total", "natter_deliveries_total"] {
            let line = format!("{name}{{room_namespace=\"default\"}} {due}\n");
            assert!(text.contains(&line), "{line}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_room_is_not_held_up() {
    Fixture::run(WINDOW, async |fixture| {
        let mut member = fixture.join("lobby").await;
        for number in 0..50 {
            fixture.publish("lobby", number).unwrap();
            turns(4).await;
            assert_eq!(member.numbers(), [number]);
            advance(WINDOW + WINDOW / 5).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_given_too_much_takes_no_more_for_a_while() {
    Fixture::run(WINDOW, async |fixture| {
        let mut member = fixture.join("flooded").await;
        let mut other = fixture.join("other").await;
        let accepted = 5_000;
        for number in 0..accepted {
            fixture.publish("flooded", number).unwrap();
        }
        // The worker learns how much it is.
        yield_now().await;
        assert_eq!(fixture.publish("flooded", accepted), Err(Overloaded));
        fixture.publish("other", 7).unwrap();
        let mut received = Vec::new();
        while received.len() < accepted {
            advance(Duration::from_millis(1)).await;
            yield_now().await;
            received.extend(member.numbers());
        }
        assert_eq!(received, (0..accepted).collect::<Vec<_>>());
        assert_eq!(other.numbers(), [7]);
        fixture.publish("flooded", accepted).unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_between_two_slices_gets_no_message_again() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let worker = &fixture.worker;
        let mut members = fixture.join_all("large", LARGE).await;
        let sessions = fixture.room("large").members();
        let [first, .., last] = &sessions[..] else {
            panic!()
        };
        let expected: Vec<usize> = (0..64).collect();
        for number in &expected {
            fixture.publish("large", *number).unwrap();
        }
        let mut received = Vec::new();
        while received.is_empty() {
            yield_now().await;
            received.extend(members[0].numbers());
        }
        assert!(members[LARGE - 1].numbers().is_empty(), "all slices were given");
        // The free place is that of somebody whose turn is still to come.
        for session in [first, last] {
            session.unsubscribe_with(worker, "large", UnsubscribeCode::Server);
        }
        first.join(worker, "large", Wish::default()).unwrap();
        while fixture.room("large").has_backlog() {
            yield_now().await;
        }
        fixture.publish("large", 64).unwrap();
        while received.last() != Some(&64) {
            yield_now().await;
            received.extend(members[0].numbers());
        }
        assert_eq!(received, (0..=64).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_room_that_everybody_left_says_nothing_of_the_next_one() {
    Fixture::run(WINDOW, async |fixture| {
        let worker = &fixture.worker;
        let _peers = [fixture.join("flooded").await, fixture.join("other").await];
        let [leaver, comer] = ["flooded", "other"].map(|room| fixture.room(room).members().remove(0));
        let flood = || (0..5_000).for_each(|number| fixture.publish("flooded", number).unwrap());
        flood();
        turns(30).await;
        assert_eq!(fixture.publish("flooded", 0), Err(Overloaded));
        leaver.unsubscribe_with(worker, "flooded", UnsubscribeCode::Server);
        comer.join(worker, "flooded", Wish::default()).unwrap();
        flood();
        // Less would be left of the former room's publications than lets new ones in again.
        turns(40).await;
        assert_eq!(fixture.publish("flooded", 0), Err(Overloaded));
        while fixture.room("flooded").has_backlog() {
            advance(Duration::from_millis(1)).await;
        }
        fixture.publish("flooded", 0).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_with_enough_to_write_waits_for_no_more() {
    Fixture::run(WINDOW * 20, async |fixture| {
        let mut member = fixture.join("lobby").await;
        for number in 0..100 {
            fixture.publish("lobby", number).unwrap();
        }
        turns(10).await;
        let mut received = member.numbers();
        assert!(
            (69..100).contains(&received.len()),
            "some wait, but they are not enough: {received:?}"
        );
        let enough = received.len() + 32;
        for number in 100..enough - 1 {
            fixture.publish("lobby", number).unwrap();
        }
        turns(10).await;
        assert!(member.numbers().is_empty(), "31 are not enough");
        fixture.publish("lobby", enough - 1).unwrap();
        turns(10).await;
        received.extend(member.numbers());
        assert_eq!(received, (0..enough).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_order_to_leave_overtakes_nothing_that_was_published_before() {
    let target = || Target {
        user: None,
        client: None,
        session: None,
    };
    let unsubscribe = Order::Unsubscribe {
        target: target(),
        channel: Some("large".to_owned()),
    };
    let disconnect = Order::Disconnect {
        target: target(),
        whitelist: Vec::new(),
        code: 4_000,
        reason: String::new(),
    };
    for order in [unsubscribe, disconnect] {
        Fixture::run(WINDOW, async |fixture| {
            let mut members = fixture.join_all("large", LARGE).await;
            for number in 0..64 {
                fixture.publish("large", number).unwrap();
            }
            // Some have been given theirs.
            while members[0].numbers().is_empty() {
                yield_now().await;
            }
            let is_end = matches!(order, Order::Disconnect { .. });
            for member in &mut members {
                member.may_end = is_end;
            }
            let order = Command::Order(order).into();
            fixture.worker.gateway.tell_workers(&Note::Command(order));
            for number in 64..70 {
                fixture.publish("large", number).unwrap();
            }
            turns(50).await;
            let expected: Vec<usize> = (0..64).collect();
            assert!(
                members
                    .iter_mut()
                    .skip(1)
                    .all(|member| member.numbers() == expected)
            );
        })
        .await;
    }
}

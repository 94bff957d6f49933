use super::*;
use crate::{history::Epoch, outgoing::Form};

fn publication(offset: u64, length: usize) -> Step {
    Step::Publication(Outgoing::fixture(offset, length).into())
}

fn filled(count: u64) -> Backlog {
    let mut backlog = Backlog::default();
    for offset in 1..=count {
        backlog.push(publication(offset, 100));
    }
    backlog
}

fn slice(turn: Option<Turn>) -> Slice {
    match turn {
        Some(Turn::Slice(slice)) => slice,
        _ => panic!("no slice"),
    }
}

/// What each of `members` is given, whatever the size of a slice.
fn given(backlog: &mut Backlog, pushes: usize, members: usize) -> Vec<Vec<u64>> {
    let mut given = vec![Vec::new(); members];
    while let Some(turn) = backlog.turn(pushes, members) {
        let slice = slice(Some(turn));
        for place in slice.places.clone() {
            given[place].extend(slice.batch.iter().map(|outgoing| outgoing.offset()));
        }
    }
    given
}

#[test]
fn everybody_gets_everything_once_and_in_order() {
    for (pushes, members) in [(1, 1), (1, 5), (100, 7), (256, 1_000), (100_000, 3)] {
        let expected: Vec<u64> = (1..=150).collect();
        let given = given(&mut filled(150), pushes, members);
        assert!(given.iter().all(|given| *given == expected), "{pushes} {members}");
    }
}

#[test]
fn a_slice_is_about_so_many_frames() {
    let mut backlog = filled(8);
    let first = slice(backlog.turn(80, 100));
    assert_eq!((first.batch.len(), first.places), (8, 0..10));
    assert!(first.is_first && !first.is_last);
    let second = slice(backlog.turn(8_000, 100));
    assert_eq!(second.places, 10..100);
    assert!(!second.is_first && second.is_last);
    assert!(backlog.is_done());
}

#[test]
fn what_comes_meanwhile_makes_up_the_next_batch() {
    let mut backlog = filled(1);
    assert_eq!(slice(backlog.turn(1, 3)).places, 0..1);
    for offset in 2..=4 {
        backlog.push(publication(offset, 100));
    }
    assert_eq!(slice(backlog.turn(1, 3)).batch.len(), 1);
    assert_eq!(slice(backlog.turn(1, 3)).batch.len(), 1);
    assert_eq!(slice(backlog.turn(9, 3)).batch.len(), 3);
    assert!(backlog.is_done());
}

#[test]
fn a_batch_is_bounded_in_number_and_bytes() {
    assert_eq!(slice(filled(500).turn(1, 1)).batch.len(), BATCH);
    let mut large = Backlog::default();
    for offset in 1..=3 {
        large.push(publication(offset, BATCH_BYTES));
    }
    assert_eq!(slice(large.turn(1, 1)).batch.len(), 1);
}

#[test]
fn a_batch_is_joined_once_where_that_pays() {
    let wire = Wire::default();
    let join = |batch: &[Arc<Outgoing>]| {
        Frame::joined(batch.iter().map(|outgoing| &**outgoing.frame(wire, Form::Plain)))
    };
    let several = slice(filled(3).turn(1, 2)).batch;
    assert!(several.joins);
    assert_eq!(several.oldest(), 1);
    let joined = several.joined(wire, join);
    assert_eq!(joined.deliveries().len(), 3);
    assert!(Arc::ptr_eq(
        joined,
        several.joined(wire, |_| panic!("joined twice"))
    ));

    assert!(!slice(filled(1).turn(1, 1)).batch.joins);
    let mut large = Backlog::default();
    large.push(publication(1, JOINED_BYTES));
    large.push(publication(2, 1));
    assert!(!slice(large.turn(1, 1)).batch.joins);
}

#[test]
fn a_lost_position_stands_between_what_came_before_and_after() {
    let mut backlog = filled(2);
    backlog.push(Step::PositionLost(Position {
        epoch: Epoch::from("epoch"),
        offset: 9,
    }));
    backlog.push(publication(10, 100));
    assert_eq!(slice(backlog.turn(100, 3)).batch.len(), 2);
    assert!(matches!(backlog.turn(100, 3), Some(Turn::PositionLost(position)) if position.offset == 9));
    assert_eq!(slice(backlog.turn(100, 3)).batch[0].offset(), 10);
}

#[test]
fn an_empty_room_has_its_batch_at_once() {
    let mut backlog = filled(1);
    let slice = slice(backlog.turn(100, 0));
    assert!(slice.places.is_empty() && slice.is_first && slice.is_last);
    assert!(backlog.turn(100, 0).is_none());
}

#[test]
fn a_room_is_overloaded_until_half_of_it_is_gone() {
    let waiting = u64::try_from(MAX_WAITING).unwrap();
    assert!(!filled(waiting - 1).is_overloaded(false));
    assert!(filled(waiting).is_overloaded(false));
    assert!(filled(waiting / 2).is_overloaded(true));
    assert!(!filled(waiting / 2 - 1).is_overloaded(true));
    let mut large = Backlog::default();
    large.push(publication(1, MAX_WAITING_BYTES));
    assert!(large.is_overloaded(false));
}

#[test]
fn what_not_everybody_was_given_is_left() {
    let rest = |backlog: Backlog| -> Vec<u64> {
        let rest = backlog.into_rest();
        rest.iter().map(|outgoing| outgoing.offset()).collect()
    };
    let mut backlog = filled(2);
    assert!(!slice(backlog.turn(1, 2)).is_last);
    backlog.push(publication(3, 100));
    assert_eq!(rest(backlog), [1, 2, 3], "the batch is under way");
    let mut backlog = filled(2);
    assert!(slice(backlog.turn(100, 2)).is_last);
    backlog.push(publication(3, 100));
    assert_eq!(rest(backlog), [3], "the batch was given");
}

use proptest::prelude::*;

use super::*;

fn arrival(sequence: u64, previous: u64) -> Arrival {
    Arrival {
        sequence,
        previous,
        marker: false,
    }
}

#[test]
fn verdicts() {
    for (position, (sequence, previous), verdict, then) in [
        (0, (5, 0), Verdict::Next, 5),
        (5, (9, 5), Verdict::Next, 9),
        (5, (5, 3), Verdict::Old, 5),
        (5, (4, 3), Verdict::Old, 5),
        (5, (9, 7), Verdict::Gap { after: 5, until: 7 }, 5),
        (0, (9, 7), Verdict::Gap { after: 0, until: 7 }, 0),
        (5, (9, 0), Verdict::Check { after: 5, until: 9 }, 5),
        // Message 5 was deleted, 3 was before it.
        (5, (9, 3), Verdict::Next, 9),
    ] {
        let mut tracker = Tracker::new(position);
        let what = format!("{sequence} after {previous} at {position}");
        assert_eq!(tracker.observe(arrival(sequence, previous)), verdict, "{what}");
        assert_eq!(tracker.position(), then, "{what}");
    }
}

#[test]
fn advancing_never_goes_back() {
    let mut tracker = Tracker::new(9);
    tracker.advance(5);
    assert_eq!(tracker.position(), 9);
}

/// A room's messages as the stream has them, and what of it arrives live: some lost, some twice, some late.
fn rooms() -> impl Strategy<Value = (Vec<u64>, Vec<usize>, usize)> {
    prop::collection::btree_set(1_u64..1_000, 1..40).prop_flat_map(|stored| {
        let stored: Vec<_> = stored.into_iter().collect();
        let count = stored.len();
        (Just(stored), prop::collection::vec(0..count, 0..80), 0..=count)
    })
}

proptest! {
    /// Whatever arrives, in whatever order: what is delivered is the room from the start on, in order, without gaps
    /// and repeats, up to the newest arrival.
    #[test]
    fn deliveries_are_the_room((stored, arrivals, joined_after) in rooms()) {
        let start = stored[..joined_after].last().copied().unwrap_or(0);
        let mut tracker = Tracker::new(start);
        let mut delivered = Vec::new();
        for &index in &arrivals {
            let sequence = stored[index];
            let previous = if index == 0 { 0 } else { stored[index - 1] };
            loop {
                match tracker.observe(arrival(sequence, previous)) {
                    Verdict::Old => break,
                    Verdict::Next => {
                        delivered.push(sequence);
                        break;
                    }
                    Verdict::Gap { after, until } | Verdict::Check { after, until } => {
                        delivered.extend(stored.iter().filter(|&&seq| after < seq && seq <= until));
                        tracker.advance(until);
                    }
                }
            }
        }
        let end = arrivals.iter().map(|&index| stored[index]).max().unwrap_or(0);
        let owed: Vec<_> = stored.iter().copied().filter(|&seq| start < seq && seq <= end).collect();
        prop_assert_eq!(delivered, owed);
    }
}

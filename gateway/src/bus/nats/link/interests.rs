//! The subscriptions of a link, by the number that the server knows them by.
//!
//! A number is a place and how often the place was given away: what still comes for a subscription that has ended finds
//! nobody, also when the place has a new one.

use std::sync::Arc;

use super::Taker;

/// Subscribed subjects and who takes what comes.
#[derive(Default)]
pub(super) struct Interests {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    generation: u32,
    interest: Option<Interest>,
}

struct Interest {
    subject: Box<str>,
    taker: Arc<dyn Taker>,
    /// The server does not permit it.
    is_refused: bool,
}

/// Number of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sid(pub(super) u64);

impl Sid {
    fn new(place: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | place as u64)
    }

    pub(super) fn place(self) -> usize {
        // The lower half.
        usize::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }
}

impl Interests {
    pub(super) fn add(&mut self, subject: &str, taker: Arc<dyn Taker>) -> Sid {
        let interest = Some(Interest {
            subject: subject.into(),
            taker,
            is_refused: false,
        });
        if let Some(free) = self.free.pop() {
            let place = &mut self.places[free as usize];
            place.generation = place.generation.wrapping_add(1);
            place.interest = interest;
            return Sid::new(free as usize, place.generation);
        }
        self.places.push(Place {
            generation: 0,
            interest,
        });
        Sid::new(self.places.len() - 1, 0)
    }

    /// Gives back what was kept, to be dropped where nothing is locked.
    pub(super) fn remove(&mut self, sid: Sid) -> Option<Arc<dyn Taker>> {
        let interest = self.place_mut(sid)?.interest.take()?;
        // As many as there are places.
        self.free.extend(u32::try_from(sid.place()));
        Some(interest.taker)
    }

    pub(super) fn taker(&self, sid: Sid) -> Option<&Arc<dyn Taker>> {
        let interest = self.places.get(sid.place()).filter(|place| sid.is_of(place));
        Some(&interest?.interest.as_ref()?.taker)
    }

    pub(super) fn is_refused(&self, sid: Sid) -> bool {
        let place = self.places.get(sid.place()).filter(|place| sid.is_of(place));
        let interest = place.and_then(|place| place.interest.as_ref());
        interest.is_some_and(|interest| interest.is_refused)
    }

    /// The server does not permit this subject. It says so seldom, so all are looked through.
    pub(super) fn refuse(&mut self, subject: &[u8]) {
        let interests = self.places.iter_mut().filter_map(|place| place.interest.as_mut());
        for interest in interests.filter(|interest| interest.subject.as_bytes() == subject) {
            interest.is_refused = true;
        }
    }

    /// A new connection: what was refused may be permitted there.
    pub(super) fn forget_refusals(&mut self) {
        for place in &mut self.places {
            if let Some(interest) = &mut place.interest {
                interest.is_refused = false;
            }
        }
    }

    /// The subscriptions in this place and those behind it, in order.
    pub(super) fn starting_at(&self, first: usize) -> impl Iterator<Item = (Sid, &str)> {
        let places = self.places.iter().enumerate().skip(first);
        places.filter_map(|(place, kept)| {
            let interest = kept.interest.as_ref()?;
            Some((Sid::new(place, kept.generation), &*interest.subject))
        })
    }

    fn place_mut(&mut self, sid: Sid) -> Option<&mut Place> {
        self.places.get_mut(sid.place()).filter(|place| sid.is_of(place))
    }
}

impl Sid {
    fn is_of(self, place: &Place) -> bool {
        u64::from(place.generation) == self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::nats::link::Delivery;

    struct Nobody;

    impl Taker for Nobody {
        fn take(self: Arc<Self>, _: &Delivery<'_>) {}
    }

    #[test]
    fn a_place_given_away_again_has_another_number() {
        let mut interests = Interests::default();
        let first = interests.add("a", Arc::new(Nobody));
        let other = interests.add("b", Arc::new(Nobody));
        assert!(interests.remove(first).is_some());
        assert!(interests.remove(first).is_none());
        let second = interests.add("c", Arc::new(Nobody));
        assert_eq!(first.place(), second.place());
        assert!(interests.taker(first).is_none() && interests.taker(second).is_some());
        assert!(interests.remove(first).is_none());
        let from = |place| interests.starting_at(place).collect::<Vec<_>>();
        assert_eq!(from(0), [(second, "c"), (other, "b")]);
        assert_eq!(from(1), [(other, "b")]);
        assert!(from(2).is_empty() && from(usize::MAX).is_empty());
    }

    /// A room is one of these, its subject, and what takes its messages.
    #[test]
    fn a_subscription_is_small() {
        assert!(size_of::<Place>() <= 48);
    }

    #[test]
    fn a_refusal_is_of_one_subject_and_one_connection() {
        let mut interests = Interests::default();
        let [a, b] = ["a", "b"].map(|subject| interests.add(subject, Arc::new(Nobody)));
        interests.refuse(b"a");
        assert!(interests.is_refused(a) && !interests.is_refused(b));
        interests.forget_refusals();
        assert!(!interests.is_refused(a));
    }
}

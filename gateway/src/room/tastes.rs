//! Members that do not want every publication as it is: only those whose tags fit a filter, or the difference to what they
//! had before. Few rooms have any, so they are kept beside the members and cost the others nothing.

use std::collections::HashMap;

use natter_protocol::Filter;
use slab::Slab;

use super::MemberIndex;
use crate::{
    outgoing::{Form, Outgoing},
    publication::MessageId,
};

/// Different filters of one room on one worker.
const MAX_FILTERS: usize = 4_096;

/// What a subscription asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taste {
    pub filter: Option<Filter>,
    /// The client undoes differences.
    pub delta: bool,
}

#[derive(Default)]
pub(super) struct Tastes {
    members: HashMap<MemberIndex, Tasting>,
    filters: Slab<Asked>,
    places: HashMap<Filter, usize>,
}

struct Tasting {
    /// Place among the filters.
    filter: Option<usize>,
    delta: bool,
    /// The publication that the client has as the last one, if it undoes differences.
    has: Option<MessageId>,
}

/// A filter of one or more members; they share its answer.
struct Asked {
    filter: Filter,
    members: usize,
    /// What it said last, of which publication.
    answer: Option<(MessageId, bool)>,
}

impl Tastes {
    pub(super) fn add(&mut self, place: MemberIndex, taste: &Taste) {
        let filter = taste.filter.as_ref().map(|filter| self.add_filter(filter));
        let tasting = Tasting {
            filter,
            delta: taste.delta,
            has: None,
        };
        self.members.insert(place, tasting);
    }

    fn add_filter(&mut self, filter: &Filter) -> usize {
        let known = self.places.get(filter).copied();
        if let Some(place) = known
            && let Some(asked) = self.filters.get_mut(place)
        {
            asked.members += 1;
            return place;
        }
        let place = self.filters.insert(Asked {
            filter: filter.clone(),
            members: 1,
            answer: None,
        });
        self.places.insert(filter.clone(), place);
        place
    }

    /// Whether a filter may still be added: each publication is compared with every one.
    pub(super) fn has_space_for(&self, filter: &Filter) -> bool {
        self.filters.len() < MAX_FILTERS || self.places.contains_key(filter)
    }

    pub(super) fn remove(&mut self, place: MemberIndex) {
        let tasting = self.members.remove(&place);
        let Some(place) = tasting.and_then(|tasting| tasting.filter) else {
            return;
        };
        let Some(asked) = self.filters.get_mut(place) else {
            return;
        };
        asked.members -= 1;
        if asked.members == 0 {
            let asked = self.filters.remove(place);
            self.places.remove(&asked.filter);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn has(&self, place: MemberIndex) -> bool {
        self.members.contains_key(&place)
    }

    /// How the member at `place` is given a publication; `None` when it does not want it. With `is_held` it may never see
    /// it, so nothing may rest on that.
    pub(super) fn form(&mut self, place: MemberIndex, outgoing: &Outgoing, is_held: bool) -> Option<Form> {
        let Some(tasting) = self.members.get_mut(&place) else {
            return Some(Form::Plain);
        };
        let asked = tasting.filter.and_then(|place| self.filters.get_mut(place));
        if asked.is_some_and(|asked| !asked.wants(outgoing)) {
            return None;
        }
        if !tasting.delta {
            return Some(Form::Plain);
        }
        let had = std::mem::replace(&mut tasting.has, (!is_held).then(|| outgoing.id()));
        let follows = !is_held && had.is_some() && had == outgoing.previous();
        Some(if follows { Form::Delta } else { Form::Whole })
    }
}

impl Asked {
    fn wants(&mut self, outgoing: &Outgoing) -> bool {
        let id = outgoing.id();
        if let Some((of, answer)) = self.answer
            && of == id
        {
            return answer;
        }
        let answer = outgoing.matches(&self.filter);
        self.answer = Some((id, answer));
        answer
    }
}

#[cfg(test)]
mod tests;

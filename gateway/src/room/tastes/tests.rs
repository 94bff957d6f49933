use std::sync::Arc;

use natter_protocol::FilterNode;

use super::*;
use crate::publication::Publication;

fn only(value: &str) -> Filter {
    let node = serde_json::json!({ "key": "kind", "cmp": "eq", "val": value }).to_string();
    Filter::new(&serde_json::from_str::<FilterNode<'_>>(&node).unwrap()).unwrap()
}

fn publication(kind: &str) -> Arc<Publication> {
    let mut publication = Publication::new("1");
    publication.tags = Some(serde_json::json!({ "kind": kind }).to_string().into());
    publication.into()
}

/// Publications of these kinds, each after the one before.
fn publications<const N: usize>(kinds: [&str; N]) -> [Outgoing; N] {
    let mut previous = None;
    kinds.map(|kind| {
        let publication = publication(kind);
        Outgoing::of(publication.clone()).after(previous.replace(publication))
    })
}

fn taste(filter: Option<&str>, delta: bool) -> Taste {
    Taste {
        filter: filter.map(only),
        delta,
    }
}

#[test]
fn members_get_what_fits_their_filter_and_share_filters() {
    let mut tastes = Tastes::default();
    tastes.add(0, &taste(Some("a"), false));
    tastes.add(1, &taste(Some("a"), false));
    tastes.add(2, &taste(Some("b"), false));
    assert_eq!(tastes.filters.len(), 2);
    for (kind, expected) in [
        ("a", [true, true, false, true]),
        ("b", [false, false, true, true]),
    ] {
        let [outgoing] = publications([kind]);
        let given = [0, 1, 2, 3].map(|place| tastes.form(place, &outgoing, false).is_some());
        assert_eq!(given, expected, "{kind}");
    }
    tastes.remove(0);
    assert_eq!(tastes.filters.len(), 2, "somebody else has it");
    tastes.remove(1);
    tastes.remove(2);
    assert!(tastes.is_empty() && tastes.filters.is_empty());
}

#[test]
fn a_difference_goes_only_to_who_has_what_came_before() {
    let mut tastes = Tastes::default();
    tastes.add(0, &taste(None, true));
    tastes.add(1, &taste(Some("a"), true));
    let [first, second, third, fourth] = publications(["a", "a", "b", "a"]);
    let mut given = |outgoing| [0, 1].map(|place| tastes.form(place, outgoing, false));
    assert_eq!(given(&first), [Some(Form::Whole); 2]);
    assert_eq!(given(&second), [Some(Form::Delta); 2]);
    assert_eq!(given(&third), [Some(Form::Delta), None]);
    assert_eq!(given(&fourth), [Some(Form::Delta), Some(Form::Whole)]);
}

#[test]
fn nothing_rests_on_what_is_held_or_was_missed() {
    let mut tastes = Tastes::default();
    tastes.add(0, &taste(None, true));
    let [first, second, third, _lost, fifth] = publications([""; 5]);
    assert_eq!(tastes.form(0, &first, true), Some(Form::Whole));
    assert_eq!(tastes.form(0, &second, false), Some(Form::Whole));
    assert_eq!(tastes.form(0, &third, false), Some(Form::Delta));
    assert_eq!(tastes.form(0, &fifth, false), Some(Form::Whole));
}

#[test]
fn a_room_takes_so_many_filters_and_any_number_of_members_with_one_of_them() {
    let mut tastes = Tastes::default();
    let filter = |number: usize| only(&number.to_string());
    let member = |number: usize| Taste {
        filter: Some(filter(number)),
        delta: false,
    };
    for number in 0..MAX_FILTERS {
        assert!(tastes.has_space_for(&filter(number)), "{number}");
        tastes.add(MemberIndex::try_from(number).unwrap(), &member(number));
    }
    let place = MemberIndex::try_from(MAX_FILTERS).unwrap();
    assert_eq!(tastes.filters.len(), 4_096);
    assert!(!tastes.has_space_for(&filter(MAX_FILTERS)), "one too many");
    assert!(tastes.has_space_for(&filter(7)), "known");
    tastes.add(place, &member(7));
    tastes.remove(7);
    assert!(
        !tastes.has_space_for(&filter(MAX_FILTERS)),
        "somebody else has it"
    );
    tastes.remove(place);
    assert!(tastes.has_space_for(&filter(MAX_FILTERS)), "a place is free");
}

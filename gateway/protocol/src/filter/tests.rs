use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

type Tags = BTreeMap<String, String>;

fn node(filter: &Value) -> Result<Filter, FilterError> {
    let text = filter.to_string();
    Filter::new(&serde_json::from_str(&text).unwrap())
}

fn filter(filter: &Value) -> Filter {
    node(filter).unwrap_or_else(|error| panic!("{error}: {filter}"))
}

fn tags(tags: &Value) -> Tags {
    serde_json::from_value(tags.clone()).unwrap()
}

fn asked(filter: &Filter, tags: &Tags) -> bool {
    filter.matches(|key| tags.get(key).map(String::as_str))
}

#[track_caller]
fn check(sent: &Value, of: &Value, expected: bool) {
    assert_eq!(asked(&filter(sent), &tags(of)), expected, "{sent} {of}");
}

/// Each row: the comparison, its value, and the answers for a tag that is `abc`, `b`, empty, and missing.
#[test]
fn texts_are_compared() {
    for (cmp, value, expected) in [
        ("eq", json!("abc"), [true, false, false, false]),
        ("neq", json!("abc"), [false, true, true, true]),
        ("sw", json!("ab"), [true, false, false, false]),
        ("ew", json!("b"), [false, true, false, false]),
        ("ct", json!("b"), [true, true, false, false]),
        ("in", json!(["b", "abc"]), [true, true, false, false]),
        ("in", json!(["b", "", "b"]), [false, true, true, true]),
        ("nin", json!(["b", "abc"]), [false, false, true, true]),
        ("nin", json!(["b", ""]), [true, false, false, false]),
        ("ex", json!(null), [true, true, true, false]),
        ("nex", json!(null), [false, false, false, true]),
    ] {
        let mut sent = json!({ "key": "k", "cmp": cmp });
        let field = if value.is_array() { "vals" } else { "val" };
        sent[field] = value;
        let of = [
            json!({ "k": "abc" }),
            json!({ "k": "b" }),
            json!({ "k": "" }),
            json!({ "other": "abc" }),
        ];
        for (of, expected) in of.iter().zip(expected) {
            check(&sent, of, expected);
        }
    }
}

/// Each row: a tag, and how it stands to the value; nothing when one of them is no number.
#[test]
fn numbers_are_compared() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let twenty = "0.00000000000000000001";
    let long = "1".repeat(200);
    let too_long = "1".repeat(201);
    for (tag, value, expected) in [
        ("1", "1", Some(Equal)),
        ("10", "9", Some(Greater)),
        ("9", "10", Some(Less)),
        ("007", "7.00", Some(Equal)),
        ("+5", "5", Some(Equal)),
        ("-0", "0.0", Some(Equal)),
        ("-1", "0", Some(Less)),
        ("0", "-1", Some(Greater)),
        ("-2", "-10", Some(Greater)),
        ("-1.5", "-1.25", Some(Less)),
        ("1.5", "1.25", Some(Greater)),
        ("1.25", "1.3", Some(Less)),
        ("42.00000001", "42", Some(Greater)),
        ("41.99999999", "42", Some(Less)),
        ("0.0000000000000000001", "0", Some(Greater)),
        (
            "123456789012345678901234567890123456789012",
            "123456789012345678901234567890123456789011",
            Some(Greater),
        ),
        (&long, "2", Some(Greater)),
        (&too_long, "2", None),
        (twenty, "0", None),
        ("", "1", None),
        (".5", "1", None),
        ("5.", "1", None),
        ("-", "1", None),
        ("+.5", "1", None),
        ("--5", "1", None),
        ("1e3", "1", None),
        ("1,000", "1", None),
        ("1.2.3", "1", None),
        (" 1", "1", None),
        ("0x10", "1", None),
        ("١", "1", None),
        ("NaN", "1", None),
        ("5", "five", None),
    ] {
        for (cmp, fits) in [
            ("gt", expected == Some(Greater)),
            ("gte", matches!(expected, Some(Greater | Equal))),
            ("lt", expected == Some(Less)),
            ("lte", matches!(expected, Some(Less | Equal))),
        ] {
            let sent = json!({ "key": "k", "cmp": cmp, "val": value });
            check(&sent, &json!({ "k": tag }), fits);
            check(&sent, &json!({}), false);
        }
    }
}

#[test]
fn nodes_say_and_or_and_not() {
    let (yes, no) = (
        json!({ "key": "k", "cmp": "ex" }),
        json!({ "key": "k", "cmp": "nex" }),
    );
    let of = json!({ "k": "" });
    for (op, nodes, expected) in [
        ("and", json!([yes]), true),
        ("and", json!([yes, yes]), true),
        ("and", json!([yes, no]), false),
        ("or", json!([no, yes]), true),
        ("or", json!([no, no]), false),
        ("not", json!([no]), true),
        ("not", json!([yes]), false),
        (
            "not",
            json!([{ "op": "or", "nodes": [no, { "op": "and", "nodes": [yes, yes] }] }]),
            false,
        ),
    ] {
        check(&json!({ "op": op, "nodes": nodes }), &of, expected);
    }
    check(&json!({ "cmp": "ex" }), &json!({ "": "" }), true);
}

#[test]
fn what_is_no_filter_is_refused() {
    let leaf = json!({ "key": "k", "cmp": "ex" });
    for (sent, error) in [
        (json!({}), FilterError::Cmp),
        (json!({ "key": "k", "cmp": "EQ", "val": "v" }), FilterError::Cmp),
        (json!({ "key": "k", "cmp": "eq" }), FilterError::Value),
        (
            json!({ "key": "k", "cmp": "eq", "val": null }),
            FilterError::Value,
        ),
        (
            json!({ "key": "k", "cmp": "eq", "val": "v", "vals": ["v"] }),
            FilterError::Value,
        ),
        (
            json!({ "key": "k", "cmp": "gt", "vals": ["1"] }),
            FilterError::Value,
        ),
        (json!({ "key": "k", "cmp": "in" }), FilterError::Value),
        (json!({ "key": "k", "cmp": "in", "vals": [] }), FilterError::Value),
        (
            json!({ "key": "k", "cmp": "nin", "val": "v", "vals": ["v"] }),
            FilterError::Value,
        ),
        (json!({ "key": "k", "cmp": "ex", "val": "v" }), FilterError::Value),
        (
            json!({ "key": "k", "cmp": "nex", "vals": ["v"] }),
            FilterError::Value,
        ),
        (json!({ "cmp": "eq", "val": "v" }), FilterError::Key),
        (json!({ "cmp": "in", "vals": ["v"] }), FilterError::Key),
        (json!({ "op": "xor", "nodes": [leaf] }), FilterError::Op),
        (json!({ "op": "and" }), FilterError::Nodes),
        (json!({ "op": "or", "nodes": null }), FilterError::Nodes),
        (json!({ "op": "not", "nodes": [] }), FilterError::Nodes),
        (json!({ "op": "not", "nodes": [leaf, leaf] }), FilterError::Nodes),
        (json!({ "op": "and", "nodes": [leaf, null] }), FilterError::Cmp),
    ] {
        assert_eq!(node(&sent), Err(error), "{sent}");
    }
    assert_eq!(Filter::new(&FilterNode::unreadable()), Err(FilterError::Op));
    // Beside the point, as in Centrifugo.
    for sent in [
        json!({ "key": "k", "cmp": "ex", "nodes": [{ "op": "xor" }], "unknown": 1 }),
        json!({ "op": "not", "key": "x", "val": "v", "nodes": [leaf] }),
    ] {
        filter(&sent);
    }
}

/// A leaf under so many nodes.
fn nested(levels: usize) -> Value {
    let leaf = json!({ "key": "k", "cmp": "ex" });
    (0..levels).fold(leaf, |inner, _| json!({ "op": "not", "nodes": [inner] }))
}

#[test]
fn filters_are_bounded() {
    let leaf = json!({ "key": "k", "cmp": "ex" });
    let wide = |count: usize| json!({ "op": "or", "nodes": vec![&leaf; count] });
    let values = |count: usize| json!({ "key": "k", "cmp": "in", "vals": vec!["v"; count] });
    let long = |len: usize| json!({ "key": "k", "cmp": "eq", "val": "v".repeat(len) });
    for (largest, larger, error) in [
        (nested(15), nested(16), FilterError::Depth),
        (wide(63), wide(64), FilterError::Size),
        (values(256), values(257), FilterError::Size),
        (long(4095), long(4096), FilterError::Size),
    ] {
        filter(&largest);
        assert_eq!(node(&larger), Err(error));
    }
    let both = json!({ "op": "and", "nodes": [values(200), values(57)] });
    assert_eq!(node(&both), Err(FilterError::Size), "values count together");
}

#[test]
fn equal_wishes_are_one() {
    let same = [
        json!({ "key": "k", "cmp": "in", "vals": ["a", "b", "a"] }),
        json!({ "op": "", "vals": ["b", "a"], "cmp": "in", "key": "k", "x": 1 }),
    ];
    let filters: HashSet<_> = same.iter().map(filter).collect();
    assert_eq!(filters.len(), 1);
    assert_eq!(
        filter(&json!({ "key": "k", "cmp": "neq", "val": "v" })),
        filter(&json!({ "op": "not", "nodes": [{ "key": "k", "cmp": "eq", "val": "v" }] }))
    );
    assert_ne!(
        filter(&json!({ "key": "k", "cmp": "gt", "val": "1" })),
        filter(&json!({ "key": "k", "cmp": "gte", "val": "1" }))
    );
}

const CMPS: &[&str] = &[
    "eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "lt", "lte", "gt", "gte", "", "x",
];
const OPS: &[&str] = &["", "", "and", "or", "not", "xor"];

/// Any node, mostly of the right words.
fn any_node() -> impl Strategy<Value = FilterNode<'static>> {
    let text = || prop_oneof!["[ab1.-]{0,3}", ".{0,4}"].prop_map(Cow::Owned);
    let leaf = (
        prop::sample::select(OPS),
        prop::sample::select(CMPS),
        (text(), text(), prop::collection::vec(text(), 0..4)),
    )
        .prop_map(|(op, cmp, (key, val, vals))| FilterNode {
            op: op.into(),
            key,
            cmp: cmp.into(),
            val,
            vals,
            nodes: Vec::new(),
        });
    leaf.prop_recursive(20, 100, 5, |inner| {
        (prop::sample::select(OPS), prop::collection::vec(inner, 0..5)).prop_map(|(op, nodes)| FilterNode {
            op: op.into(),
            nodes,
            ..FilterNode::default()
        })
    })
}

/// A node that is a filter, and what it means said another way.
fn good_node() -> impl Strategy<Value = FilterNode<'static>> {
    const WITH_VALUE: &[&str] = &["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"];
    let leaf = prop_oneof![
        (prop::sample::select(WITH_VALUE), "[ab1.-]{1,3}").prop_map(|(cmp, val)| (cmp, val, Vec::new())),
        (
            prop::sample::select(vec!["in", "nin"]),
            prop::collection::vec("[ab1]{0,2}", 1..4)
        )
            .prop_map(|(cmp, vals)| (cmp, String::new(), vals)),
        prop::sample::select(vec!["ex", "nex"]).prop_map(|cmp| (cmp, String::new(), Vec::new())),
    ];
    let leaf = ("[ab]", leaf).prop_map(|(key, (cmp, val, vals))| FilterNode {
        key: key.into(),
        cmp: cmp.into(),
        val: val.into(),
        vals: vals.into_iter().map(Cow::Owned).collect(),
        ..FilterNode::default()
    });
    leaf.prop_recursive(5, 30, 3, |inner| {
        let many = (
            prop::sample::select(vec!["and", "or"]),
            prop::collection::vec(inner.clone(), 1..4),
        );
        let one = (Just("not"), prop::collection::vec(inner, 1));
        prop_oneof![many, one].prop_map(|(op, nodes)| FilterNode {
            op: op.into(),
            nodes,
            ..FilterNode::default()
        })
    })
}

/// The meaning of a filter, straight from the table at the head of the module.
fn wanted(node: &FilterNode<'_>, tags: &Tags) -> bool {
    let tag = tags.get(&*node.key).map(String::as_str);
    let is_among = || node.vals.iter().any(|value| value == tag.unwrap_or_default());
    let number = |text: &str| Number::parse(text).map(|_| text.parse::<f64>().unwrap());
    let numbers = || Some((number(tag?)?, number(&node.val)?));
    match (&*node.op, &*node.cmp) {
        ("and", _) => node.nodes.iter().all(|node| wanted(node, tags)),
        ("or", _) => node.nodes.iter().any(|node| wanted(node, tags)),
        ("not", _) => !wanted(&node.nodes[0], tags),
        (_, "eq") => tag == Some(&*node.val),
        (_, "neq") => tag != Some(&*node.val),
        (_, "in") => is_among(),
        (_, "nin") => !is_among(),
        (_, "ex") => tag.is_some(),
        (_, "nex") => tag.is_none(),
        (_, "sw") => tag.is_some_and(|tag| tag.starts_with(&*node.val)),
        (_, "ew") => tag.is_some_and(|tag| tag.ends_with(&*node.val)),
        (_, "ct") => tag.is_some_and(|tag| tag.contains(&*node.val)),
        (_, "gt") => numbers().is_some_and(|(tag, value)| tag > value),
        (_, "gte") => numbers().is_some_and(|(tag, value)| tag >= value),
        (_, "lt") => numbers().is_some_and(|(tag, value)| tag < value),
        (_, _) => numbers().is_some_and(|(tag, value)| tag <= value),
    }
}

fn count(node: &FilterNode<'_>) -> usize {
    1 + node.nodes.iter().map(count).sum::<usize>()
}

proptest! {
    #[test]
    fn any_tree_is_judged_and_asked_within_its_nodes(
        node in any_node(), tags in prop::collection::btree_map("[ab1.-]{0,3}", "[ab1.-]{0,3}", 0..4)
    ) {
        if let Ok(filter) = Filter::new(&node) {
            let looked_up = std::cell::Cell::new(0);
            filter.matches(|key| {
                looked_up.set(looked_up.get() + 1);
                tags.get(key).map(String::as_str)
            });
            prop_assert!(looked_up.get() <= count(&node));
        }
    }

    #[test]
    fn a_filter_means_what_the_table_says(
        node in good_node(), tags in prop::collection::btree_map("[ab]", "[ab1.-]{0,3}", 0..3)
    ) {
        let filter = Filter::new(&node).unwrap();
        prop_assert_eq!(asked(&filter, &tags), wanted(&node, &tags));
    }

    #[test]
    fn any_text_is_a_number_or_not(a in "[+-]?[0-9]{1,12}(\\.[0-9]{1,6})?", b in ".{0,8}") {
        let number = Number::parse(&a);
        prop_assert!(number.is_some());
        prop_assert_eq!(number.cmp(&Number::parse(&a)), std::cmp::Ordering::Equal);
        Number::parse(&b);
    }
}

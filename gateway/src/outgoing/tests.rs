use serde_json::{Value, json};

use super::*;
use crate::wire::{Carrier, Encoding};

const JSON: Wire = Wire {
    encoding: Encoding::Json,
    carrier: Carrier::HttpStream,
    one_way: false,
};

fn publication(data: &str) -> Arc<Publication> {
    Publication::new(data.as_bytes().to_vec()).into()
}

fn read(frame: &Frame) -> Value {
    serde_json::from_slice::<Value>(frame.bytes()).unwrap()["push"]["pub"].clone()
}

#[test]
fn a_difference_is_given_where_it_is_shorter_and_always_in_a_string() {
    let text =
        |last: &str| json!(["the same for a long while, so that it pays to leave it out", last]).to_string();
    let (before, after) = (publication(&text("1")), publication(&text("2")));
    let outgoing = Outgoing::of(after.clone()).after(Some(before));
    assert_eq!(
        read(outgoing.frame(JSON, Form::Plain)),
        json!({"data": ["the same for a long while, so that it pays to leave it out", "2"]})
    );
    assert_eq!(
        read(outgoing.frame(JSON, Form::Whole)),
        json!({ "data": text("2") })
    );
    let delta = read(outgoing.frame(JSON, Form::Delta));
    assert_eq!(delta["delta"], true);
    assert!(delta["data"].as_str().unwrap().len() < after.data.len());
    assert!(Arc::ptr_eq(
        outgoing.frame(JSON, Form::Delta),
        outgoing.frame(JSON, Form::Delta)
    ));

    let other = Outgoing::of(after.clone()).after(Some(publication("\"all else\"")));
    assert_eq!(read(other.frame(JSON, Form::Delta)), json!({ "data": text("2") }));
    let first = Outgoing::of(after).after(None);
    assert_eq!(read(first.frame(JSON, Form::Delta)), json!({ "data": text("2") }));
}

#[test]
fn bytes_stay_bytes() {
    let wire = Wire {
        encoding: Encoding::Protobuf,
        ..JSON
    };
    let outgoing = Outgoing::of(publication("\u{1}\u{2}"));
    let (plain, whole) = (
        outgoing.frame(wire, Form::Plain),
        outgoing.frame(wire, Form::Whole),
    );
    assert_eq!(plain.bytes(), whole.bytes());
}

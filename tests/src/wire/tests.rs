use super::*;

#[test]
fn what_is_written_is_read() {
    let replies = [
        json!({ "id": 3, "publish": {} }),
        json!({ "push": { "channel": "a", "pub": { "data": 1, "tags": { "lang": "en", "x": "y" } } } }),
        json!({ "push": { "channel": "a", "subscribe": { "epoch": "e", "data": 2 } } }),
        json!({ "push": { "channel": "a", "pub": { "data": { "x": [1, null] }, "offset": 300 } } }),
        json!({ "id": 4, "history": { "publications": [{ "data": "é", "offset": 1 }, { "data": 0, "offset": 2 }], "epoch": "e" } }),
    ];
    for reply in &replies {
        assert_eq!(canonical(reply).unwrap(), *reply);
    }
}

#[test]
fn defaults_are_left_out_and_unknown_fields_are_none() {
    let full = json!({ "id": 1, "history": { "publications": [], "epoch": "", "offset": 0 } });
    assert_eq!(canonical(&full).unwrap(), json!({ "id": 1, "history": {} }));
    assert!(canonical(&json!({ "id": 1, "wrong": {} })).is_err());
}

#[test]
fn a_command_is_what_protobuf_says() {
    let command = json!({ "id": 150, "history": { "channel": "testing", "limit": -1 } });
    let bytes = Encoding::Protobuf.write(&[command]).unwrap();
    let expected = [
        25, 8, 0x96, 1, 0x52, 20, 0x0a, 7, b't', b'e', b's', b't', b'i', b'n', b'g', 0x38, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
    ];
    assert_eq!(bytes, expected);
}

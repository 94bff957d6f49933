//! What reading a filter may cost has bounds: it is a tree, and its sender is not trusted.

use natter_protocol::{Command, Request, protobuf};

use super::hostile::{command, delimited, labels};

/// A subscribe command with a filter of so many nodes, each in the one before.
pub(super) fn nested(depth: usize) -> Vec<u8> {
    let leaf = [10, 3, b'n', b'o', b't'];
    let mut node = leaf.to_vec();
    for _ in 1..depth {
        node = [leaf.to_vec(), delimited(&[0x32], &node)].concat();
    }
    subscribe_with(&node)
}

/// A subscribe command with a filter of these fields, and a field behind it.
pub(super) fn subscribe_with(filter: &[u8]) -> Vec<u8> {
    let request = [vec![10, 1, b'c'], delimited(&[0x6a], filter), vec![0x70, 2]];
    command(0x2a, &request.concat())
}

/// Whether a filter stands in the place of one that is too large. What comes behind it is read in any case.
fn is_replaced(frame: &[u8]) -> bool {
    let Some(Ok(Command {
        request: Request::Subscribe(request),
        ..
    })) = protobuf::decode(frame).next()
    else {
        return false;
    };
    assert_eq!(request.flag, 2);
    request
        .tf
        .is_some_and(|filter| filter.op == "unreadable" && filter.nodes.is_empty() && filter.vals.is_empty())
}

#[test]
fn levels_are_bounded() {
    assert!(!is_replaced(&nested(33)));
    assert!(is_replaced(&nested(34)));
}

#[test]
fn nodes_and_values_are_bounded() {
    for item in [[0x32, 0], [0x2a, 0]] {
        assert!(!is_replaced(&subscribe_with(&item.repeat(1024))));
        assert!(is_replaced(&subscribe_with(&item.repeat(1025))));
    }
    let both = [[0x32, 0].repeat(1000), [0x2a, 0].repeat(1000)].concat();
    assert!(is_replaced(&subscribe_with(&both)));
}

#[test]
fn what_is_no_protobuf_is_no_filter_that_is_too_large() {
    let rows: [(&str, &[u8]); 4] = [
        ("wire", &[0x32, 9]),
        ("wire", &[0x32, 2, 10, 1]),
        ("text", &[10, 1, 0xff]),
        ("field", &[8, 1]),
    ];
    for (expected, filter) in rows {
        assert_eq!(labels(&subscribe_with(filter)), [Some(expected)], "{filter:?}");
    }
}

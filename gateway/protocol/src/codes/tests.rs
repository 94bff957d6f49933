use std::collections::BTreeSet;

use super::*;

fn assert_labels(labels: impl Iterator<Item = &'static str>, count: usize) {
    let labels: BTreeSet<_> = labels.collect();
    assert_eq!(labels.len(), count, "two codes share a label");
    for label in labels {
        assert!(
            label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{label}"
        );
    }
}

#[test]
fn labels_are_distinct_and_fit_metrics() {
    assert_labels(ErrorCode::ALL.iter().map(|code| code.label()), 14);
    assert_labels(UnsubscribeCode::ALL.iter().map(|code| code.label()), 4);
    assert_labels(DisconnectCode::ALL.iter().map(|code| code.label()), 22);
}

#[test]
fn errors_are_numbered_without_a_gap() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes, (100..=113).collect::<Vec<_>>());
}

#[test]
fn temporary_errors_are_those_that_sdks_retry() {
    let temporary: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| code.temporary())
        .map(|code| code.code())
        .collect();
    assert_eq!(temporary, [100, 111, 113]);
}

#[test]
fn disconnects_from_3500_on_are_terminal() {
    let terminal: Vec<_> = DisconnectCode::ALL
        .iter()
        .filter(|code| code.terminal())
        .map(|code| code.code())
        .collect();
    assert_eq!(terminal, (3500..=3509).collect::<Vec<_>>());
    let others: Vec<_> = DisconnectCode::ALL
        .iter()
        .filter(|code| !code.terminal())
        .map(|code| code.code())
        .collect();
    assert_eq!(
        others,
        [
            3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013, 3014
        ]
    );
}

#[test]
fn only_an_unsubscribe_by_the_server_is_final() {
    let again: Vec<_> = UnsubscribeCode::ALL
        .iter()
        .filter(|code| code.resubscribes())
        .map(|code| code.code())
        .collect();
    assert_eq!(again, [2500, 2501, 2502]);
}

#[test]
fn reasons_fit_a_close_frame() {
    for code in DisconnectCode::ALL {
        let reason = code.reason();
        assert!(!reason.is_empty() && reason.len() <= 123, "{code:?}");
        assert!(!reason.starts_with(['{', '[', '"']), "{code:?}");
    }
}

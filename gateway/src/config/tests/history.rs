use std::time::Duration;

use super::{Given, yaml};
use crate::config::{
    Discard, HistoryOptions, RecoveryMode, RoomSettings, Settings, Storage, StreamOptions, Who,
};

fn default_rooms(settings: Settings) -> Option<HistoryOptions> {
    settings.rooms.default.and_then(|options| options.history)
}

fn named(text: &str) -> HistoryOptions {
    let text = format!("rooms: {{namespaces: [{{name: n, history: {text}}}]}}");
    let settings = yaml(&text).load().unwrap();
    settings.rooms.namespaces[0].options.history.clone().unwrap()
}

/// The lines that refuse this history, without the path that all of them begin with.
fn refused(text: &str) -> Vec<String> {
    let path = "rooms.namespaces[1].history";
    let text = format!("rooms: {{namespaces: [{{name: a}}, {{name: b, history: {text}}}]}}");
    let lines = yaml(&text).lines();
    lines
        .iter()
        .map(|line| {
            assert!(line.starts_with(path), "{line}");
            line.replace(path, "")
        })
        .collect()
}

#[test]
fn rooms_are_ephemeral_unless_history_is_written() {
    assert_eq!(default_rooms(yaml("").load().unwrap()), None);
    for text in ["{publish: users}", "{history: null}", "{history: }"] {
        let text = format!("rooms: {{default: {text}, namespaces: [{{name: n, history: null}}]}}");
        let settings = yaml(&text).load().unwrap();
        assert_eq!(settings.rooms.namespaces[0].options.history, None, "{text}");
        assert_eq!(default_rooms(settings), None, "{text}");
    }
}

#[test]
fn what_cannot_be_stored_is_not_said_among_a_few() {
    let text = "rooms: {namespaces: [{name: a, degraded: local, history: {}}, {name: b, degraded: local}]}";
    let errors = yaml(text).load().unwrap_err().to_string();
    assert!(
        errors.starts_with("rooms.namespaces[0].degraded: \"local\" for rooms with history"),
        "{errors}"
    );
    assert!(!errors.contains("namespaces[1]"), "{errors}");
}

#[test]
fn an_empty_history_has_every_default() {
    let expected = HistoryOptions {
        size: 100,
        ttl: Duration::from_mins(5),
        read: Who::Subscribers,
        force_recovery: false,
        force_positioning: false,
        recovery_mode: RecoveryMode::Stream,
        idempotency_window: Duration::from_mins(5),
        stream: StreamOptions {
            managed: true,
            partitions: None,
            replicas: 1,
            storage: Storage::File,
            max_bytes: None,
            discard: Discard::Old,
        },
    };
    assert_eq!(HistoryOptions::default(), expected);
    assert_eq!(named("{}"), expected);
    let unnamed = yaml("rooms: {default: {history: {}}}").load().unwrap();
    assert_eq!(unnamed.rooms.default.as_ref().unwrap().subscribe, Who::Anyone);
    assert_eq!(default_rooms(unnamed), Some(expected));
}

#[test]
fn every_option_can_be_written() {
    let written = named(
        "{size: 2, ttl: 30days, read: server, force_recovery: true, force_positioning: true, recovery_mode: cache,
          idempotency_window: 1day, stream: {managed: false, partitions: 64, replicas: 5, storage: memory,
          max_bytes: 2TiB, discard: new}}",
    );
    let expected = HistoryOptions {
        size: 2,
        ttl: Duration::from_hours(30 * 24),
        read: Who::Server,
        force_recovery: true,
        force_positioning: true,
        recovery_mode: RecoveryMode::Cache,
        idempotency_window: Duration::from_hours(24),
        stream: StreamOptions {
            managed: false,
            partitions: Some(64),
            replicas: 5,
            storage: Storage::Memory,
            max_bytes: Some(2 << 40),
            discard: Discard::New,
        },
    };
    assert_eq!(written, expected);
    assert_eq!(
        named("{stream: {max_bytes: 1048576}}").stream.max_bytes,
        Some(1 << 20)
    );
}

#[test]
fn a_missing_window_follows_a_shorter_history() {
    let window = |text| named(text).idempotency_window.as_secs();
    assert_eq!(window("{ttl: 60s}"), 60);
    assert_eq!(window("{ttl: 1h}"), 300);
    assert_eq!(window("{ttl: 1h, idempotency_window: 1h}"), 3600);
    assert_eq!(window("{ttl: 60s, idempotency_window: null}"), 60);
}

#[test]
fn variables_and_flags_reach_the_history_of_rooms_without_a_namespace() {
    let variables = [
        ("NATTER_ROOMS_DEFAULT_HISTORY", "{size: 5, ttl: 1m}"),
        ("NATTER_ROOMS_DEFAULT_HISTORY_SIZE", "7"),
        ("NATTER_ROOMS_DEFAULT_HISTORY_STREAM_REPLICAS", "3"),
        ("NATTER_ROOMS_DEFAULT_HISTORY_STREAM_PARTITIONS", "8"),
        ("NATTER_ROOMS_DEFAULT_HISTORY_STREAM_MAX_BYTES", "1GiB"),
    ];
    let given = Given::new("rooms: {default: {history: {size: 3, read: users}}}", variables)
        .flags(|loader| loader.with_set("rooms.default.history.force_recovery=true"));
    let history = default_rooms(given.load().unwrap()).unwrap();
    assert_eq!(
        (history.size, history.ttl.as_secs(), history.read),
        (7, 60, Who::Users)
    );
    assert_eq!((history.stream.replicas, history.stream.partitions), (3, Some(8)));
    assert_eq!(history.stream.max_bytes, Some(1 << 30));
    assert!(history.force_recovery);
    let off = given.flags(|loader| loader.with_set("rooms.default.history=null"));
    assert_eq!(default_rooms(off.load().unwrap()), None);
}

#[test]
fn what_is_written_is_read_back() {
    let text = "rooms: {default: {history: {ttl: 1m, stream: {max_bytes: 3GiB, partitions: 2}}},
                namespaces: [{name: n, publish: server, history: {recovery_mode: cache}}, {name: m}]}";
    let rooms = yaml(text).load().unwrap().rooms;
    let written = serde_yaml_ng::to_string(&rooms).unwrap();
    assert_eq!(
        serde_yaml_ng::from_str::<RoomSettings>(&written).unwrap(),
        rooms,
        "{written}"
    );
}

#[test]
fn wrong_shapes_and_values_are_all_named() {
    assert_eq!(
        refused("3"),
        [
            ": a number where a section belongs (keys: size, ttl, read, force_recovery, force_positioning, \
             recovery_mode, idempotency_window, stream)"
        ]
    );
    assert_eq!(
        refused(
            "{size: many, ttl: 300, read: nobody, force_recovery: 1, recovery_mode: newest, idempotencyWindow: 1m,
              stream: {managed: maybe, partitions: all, replicas: 2, storage: disk, max_bytes: 1GB, discard: oldest,
              retention: limits}}"
        ),
        [
            ".size: \"many\" is not a whole number (digits, such as 128)",
            ".ttl: 300 is not a duration (a number with a unit, such as 25s or 1m 30s)",
            ".read: \"nobody\" is not a choice here (anyone, users, subscribers, token or server)",
            ".force_recovery: 1 is not a switch (true or false)",
            ".recovery_mode: \"newest\" is not a choice here (stream or cache)",
            ".idempotencyWindow: unknown key (did you mean rooms.namespaces[].history.idempotency_window?)",
            ".stream.managed: \"maybe\" is not a switch (true or false)",
            ".stream.partitions: \"all\" is not a whole number (1 to 64)",
            ".stream.replicas: 2 is not a choice here (1, 3 or 5)",
            ".stream.storage: \"disk\" is not a choice here (file or memory)",
            ".stream.max_bytes: \"1GB\" is not a size (bytes, or a number with a unit such as 64KiB or 1MiB)",
            ".stream.discard: \"oldest\" is not a choice here (old or new)",
            ".stream.retention: unknown key (keys here: managed, partitions, replicas, storage, max_bytes, discard)",
        ]
    );
}

#[test]
fn values_out_of_range_are_all_named() {
    assert_eq!(
        refused("{size: 0, ttl: 500ms, stream: {partitions: 0, max_bytes: 1023KiB}}"),
        [
            ".stream.partitions: 0 is too small (1 to 64)",
            ".size: 0 is too small (1 to 1000000)",
            ".ttl: 500ms is too small (1s to 10years)",
            ".stream.max_bytes: 1023KiB is too small (1MiB to 1024TiB)",
        ]
    );
    assert_eq!(
        refused(
            "{size: 1000001, ttl: 11years, idempotency_window: 25h, stream: {partitions: 70000, replicas: 257,
              max_bytes: 1025TiB}}"
        ),
        [
            ".stream.partitions: 70000 is too large (1 to 64)",
            ".stream.replicas: 257 is not a choice here (1, 3 or 5)",
            ".size: 1000001 is too large (1 to 1000000)",
            ".ttl: 11years is too large (1s to 10years)",
            ".idempotency_window: 1day 1h is too large (1s to 1day)",
            ".stream.max_bytes: 1025TiB is too large (1MiB to 1024TiB)",
        ]
    );
    assert_eq!(
        refused("{idempotency_window: 0s}"),
        [".idempotency_window: 0s is too small (1s to 1day)"]
    );
}

#[test]
fn options_must_fit_each_other() {
    assert_eq!(
        refused("{idempotency_window: 10m, stream: {discard: new}}"),
        [
            ".idempotency_window: 10m is too long (at most .ttl, 5m)",
            ".stream.discard: new without .stream.max_bytes refuses nothing (.stream.max_bytes: the size at which a \
             partition is full)",
        ]
    );
    assert_eq!(
        refused("{ttl: 10s, stream: {storage: memory, replicas: 5}}"),
        [""; 0]
    );
    assert_eq!(
        refused("{ttl: soon, idempotency_window: 10m, stream: {max_bytes: little, discard: new}}"),
        [
            ".ttl: \"soon\" is not a duration (a number with a unit, such as 25s or 1m 30s)",
            ".stream.max_bytes: \"little\" is not a size (bytes, or a number with a unit such as 64KiB or 1MiB)",
        ],
        "a refused value causes no second finding"
    );
}

#[test]
fn an_error_names_the_rooms_and_the_source() {
    let given = Given::new(
        "rooms: {default: {history: {ttl: 1m, idempotency_window: 61s}}}",
        [("NATTER_ROOMS_DEFAULT_HISTORY_STREAM_PARTITIONS", "65")],
    );
    assert_eq!(
        given.lines(),
        [
            "rooms.default.history.stream.partitions: 65 is too large (1 to 64), set by \
             NATTER_ROOMS_DEFAULT_HISTORY_STREAM_PARTITIONS",
            "rooms.default.history.idempotency_window: 1m 1s is too long (at most rooms.default.history.ttl, 1m)",
        ]
    );
}

/// The paths that a reload from one list of namespaces to another may not change.
fn refused_reload(old: &str, new: &str) -> Vec<String> {
    let load = |list: &str| yaml(&format!("rooms: {{namespaces: {list}}}")).load().unwrap();
    match load(old).check_reload(&load(new)) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.path.clone()).collect(),
    }
}

#[test]
fn what_streams_hold_needs_a_restart() {
    let old = "[{name: a, history: {}}, {name: b}]";
    assert_eq!(
        refused_reload(old, "[{name: b, history: {}}, {name: a}]"),
        ["rooms.namespaces[0].history", "rooms.namespaces[1].history"],
        "namespaces meet by name"
    );
    assert_eq!(
        refused_reload(
            old,
            "[{name: a, history: {size: 7, ttl: 1m, stream: {partitions: 2, storage: memory}}}]"
        ),
        [
            "rooms.namespaces[0].history.size",
            "rooms.namespaces[0].history.ttl",
            "rooms.namespaces[0].history.stream.partitions",
            "rooms.namespaces[0].history.stream.storage",
        ],
        "a window that follows ttl is not named"
    );
    assert_eq!(
        refused_reload(old, "[{name: a, history: {idempotency_window: 1m}}]"),
        ["rooms.namespaces[0].history.idempotency_window"]
    );
}

#[test]
fn the_rest_of_a_history_and_whole_namespaces_are_live() {
    let old = "[{name: a, history: {}}, {name: b}]";
    let rest =
        "[{name: a, publish: server, history: {read: anyone, force_recovery: true, force_positioning: true,
                  recovery_mode: cache}}, {name: b}]";
    for new in [
        rest,
        "[{name: b}]",
        "[{name: a, history: {}}, {name: b, degraded: local}]",
        "[]",
        "[{name: c, history: {size: 3}}, {name: a, history: {}}]",
    ] {
        assert_eq!(refused_reload(old, new), [""; 0], "{new}");
    }
}

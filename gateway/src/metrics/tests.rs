use std::time::Duration;

use super::*;
use crate::bus::BusError;

const DOCUMENTATION: &str = include_str!("../../../docs/observability.md");
const BEGIN: &str = "<!-- families: begin (checked by a test) -->\n";
const END: &str = "<!-- families: end -->";

/// Every label that a family may have, and where its values come from.
const CLOSED_LABELS: [&str; 16] = [
    "api_key",
    "call",
    "code",
    "command",
    "issuer",
    "kind",
    "limit",
    "method",
    "operation",
    "reason",
    "result",
    "revision",
    "proxy",
    "room_namespace",
    "source",
    "version",
];

fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.encode().unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn table(families: &[Family]) -> String {
    let row = |Family {
                   name,
                   kind,
                   labels,
                   help,
               }: &Family| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() {
            "–".to_owned()
        } else {
            labels.join(", ")
        };
        format!("| `{name}` | {kind} | {labels} | {help} |\n")
    };
    let rows: String = families.iter().map(row).collect();
    format!("| family | type | labels | meaning |\n|---|---|---|---|\n{rows}")
}

#[test]
fn every_family_is_named_explained_and_closed() {
    let metrics = Metrics::new().unwrap();
    assert!(metrics.families().len() > 30);
    for family in metrics.families() {
        let name = family.name;
        assert!(name.starts_with("natter_"), "{name}");
        assert!(
            family.help.len() > 10 && !family.help.ends_with('.'),
            "{name}: {}",
            family.help
        );
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
        // The end of a certificate is a time of day, in seconds as well.
        let is_timed = family.kind == "histogram" || name.ends_with("_expiry_seconds");
        assert_eq!(name.ends_with("_seconds"), is_timed, "{name}");
        for label in family.labels {
            assert!(CLOSED_LABELS.contains(label), "{name}: {label}");
        }
    }
}

#[test]
fn the_documentation_lists_exactly_the_families() {
    let documented = DOCUMENTATION
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .unwrap()
        .0;
    let registered = table(Metrics::new().unwrap().families());
    assert_eq!(
        documented, registered,
        "docs/observability.md should hold this table:\n{registered}"
    );
}

#[test]
fn gateways_in_one_process_do_not_share_series() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.connections.opened();
    assert_eq!(value(&one, "natter_connections"), Some(1.0));
    assert_eq!(value(&other, "natter_connections"), Some(0.0));
}

#[test]
fn known_labels_exist_before_their_first_event() {
    let metrics = Metrics::new().unwrap();
    assert_eq!(
        value(
            &metrics,
            r#"natter_connections_refused_total{reason="file_limit"}"#
        ),
        Some(0.0)
    );
    for reason in ["slow", "message_too_big", "lost"] {
        let series = format!(r#"natter_disconnects_total{{reason="{reason}"}}"#);
        assert_eq!(value(&metrics, &series), Some(0.0), "{reason}");
    }
    metrics.connections.refused(Refusal::FileLimit);
    assert_eq!(
        value(
            &metrics,
            r#"natter_connections_refused_total{reason="file_limit"}"#
        ),
        Some(1.0)
    );
    metrics.namespace("chat");
    assert_eq!(
        value(&metrics, r#"natter_deliveries_total{room_namespace="chat"}"#),
        Some(0.0)
    );
}

#[test]
fn a_connection_opens_and_closes_by_reason() {
    let metrics = Metrics::new().unwrap();
    metrics.connections.opened();
    metrics.connections.opened();
    metrics.connections.closed("slow");
    assert_eq!(value(&metrics, "natter_connections"), Some(1.0));
    assert_eq!(value(&metrics, "natter_connections_total"), Some(2.0));
    assert_eq!(
        value(&metrics, r#"natter_disconnects_total{reason="slow"}"#),
        Some(1.0)
    );
}

#[test]
fn accept_failures_are_told_apart() {
    let of = |code| AcceptFailure::of(&std::io::Error::from_raw_os_error(code));
    assert_eq!(
        of(rustix::io::Errno::MFILE.raw_os_error()),
        AcceptFailure::Descriptors
    );
    assert_eq!(
        of(rustix::io::Errno::CONNABORTED.raw_os_error()),
        AcceptFailure::Aborted
    );
    assert_eq!(
        AcceptFailure::of(&std::io::Error::other("x")),
        AcceptFailure::Other
    );
}

#[test]
fn a_worker_counts_locally_until_the_end_of_its_turn() {
    let metrics = Metrics::new().unwrap();
    let (_unused, chat) = (metrics.namespace("default"), metrics.namespace("chat"));
    let counters = WorkerCounters::new(&metrics);
    for _ in 0..3 {
        counters.delivered(&chat, 2);
        counters.command("publish");
    }
    counters.sent(100);
    counters.received(7);
    counters.timed(&chat, 1_000_000_000, 1_003_000_000);
    counters.timed(&chat, 2_000_000_000, 1_000_000_000);
    let delivered = r#"natter_deliveries_total{room_namespace="chat"}"#;
    assert_eq!(value(&metrics, delivered), Some(0.0));
    counters.flush();
    assert_eq!(value(&metrics, delivered), Some(6.0));
    assert_eq!(
        value(&metrics, r#"natter_commands_total{command="publish"}"#),
        Some(3.0)
    );
    assert_eq!(value(&metrics, "natter_bytes_sent_total"), Some(100.0));
    assert_eq!(value(&metrics, "natter_bytes_received_total"), Some(7.0));
    let bucket =
        |le: &str| format!(r#"natter_delivery_latency_seconds_bucket{{room_namespace="chat",le="{le}"}}"#);
    assert_eq!(
        value(&metrics, &bucket("0.0005")),
        Some(1.0),
        "a clock that runs behind counts as no time"
    );
    assert_eq!(value(&metrics, &bucket("0.005")), Some(2.0));
    counters.flush();
    assert_eq!(value(&metrics, delivered), Some(6.0), "nothing is counted twice");
    counters.delivered(&chat, 1);
    drop(counters);
    assert_eq!(
        value(&metrics, delivered),
        Some(7.0),
        "a worker that stops loses nothing"
    );
}

#[test]
fn a_reload_keeps_the_counters_of_a_namespace() {
    let metrics = Metrics::new().unwrap();
    metrics.namespace("chat").offer(Source::Client).accept();
    metrics.namespace("chat").offer(Source::Client).accept();
    metrics.namespace("chat").dropped("slow_reader", 4);
    assert_eq!(
        value(
            &metrics,
            r#"natter_publications_total{room_namespace="chat",source="client"}"#
        ),
        Some(2.0)
    );
    let dropped = r#"natter_deliveries_dropped_total{reason="slow_reader",room_namespace="chat"}"#;
    assert_eq!(value(&metrics, dropped), Some(4.0));
}

#[test]
fn every_publication_ends_in_one_counter() {
    let metrics = Metrics::new().unwrap();
    let chat = metrics.namespace("chat");
    let pending = chat.offer(Source::Api);
    chat.offer(Source::Api).accept();
    chat.offer(Source::Client).repeat();
    chat.offer(Source::Client).refuse("bus_down");
    drop(chat.offer(Source::Client));
    let of = |series: &str| value(&metrics, &format!("natter_publications_{series}"));
    for (series, count) in [
        (r#"offered_total{room_namespace="chat",source="client"}"#, 3.0),
        (r#"offered_total{room_namespace="chat",source="api"}"#, 2.0),
        (r#"total{room_namespace="chat",source="api"}"#, 1.0),
        (r#"repeated_total{room_namespace="chat"}"#, 1.0),
        (r#"refused_total{reason="bus_down",room_namespace="chat"}"#, 1.0),
        (r#"refused_total{reason="abandoned",room_namespace="chat"}"#, 1.0),
        (r#"pending{room_namespace="chat"}"#, 1.0),
    ] {
        assert_eq!(of(series), Some(count), "{series}");
    }
    pending.accept();
    assert_eq!(of(r#"pending{room_namespace="chat"}"#), Some(0.0));
}

#[test]
fn only_a_return_of_the_bus_is_a_reconnect() {
    let metrics = Metrics::new().unwrap();
    metrics.bus.up();
    assert_eq!(value(&metrics, "natter_bus_reconnects_total"), Some(0.0));
    metrics.bus.down();
    assert_eq!(value(&metrics, "natter_bus_up"), Some(0.0));
    metrics.bus.up();
    assert_eq!(value(&metrics, "natter_bus_up"), Some(1.0));
    assert_eq!(value(&metrics, "natter_bus_reconnects_total"), Some(1.0));
}

#[test]
fn joins_are_timed_only_when_they_succeed() {
    let metrics = Metrics::new().unwrap();
    metrics.rooms.joined(Ok(()), Duration::from_millis(2));
    metrics
        .rooms
        .joined(Err(BusError::Timeout), Duration::from_secs(5));
    assert_eq!(value(&metrics, r#"natter_joins_total{result="ok"}"#), Some(1.0));
    assert_eq!(
        value(&metrics, r#"natter_joins_total{result="bus_timeout"}"#),
        Some(1.0)
    );
    assert_eq!(value(&metrics, "natter_join_duration_seconds_count"), Some(1.0));
}

#[test]
fn a_refused_reload_stays_visible_until_one_succeeds() {
    let metrics = Metrics::new().unwrap();
    assert_eq!(value(&metrics, "natter_config_last_reload_successful"), Some(1.0));
    metrics.config.refused();
    assert_eq!(value(&metrics, "natter_config_last_reload_successful"), Some(0.0));
    metrics.config.applied();
    assert_eq!(value(&metrics, "natter_config_last_reload_successful"), Some(1.0));
}

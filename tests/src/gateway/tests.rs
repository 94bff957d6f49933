//! What can be checked without a gateway: how its output is read.

use super::*;

#[test]
fn the_listening_line_gives_both_addresses() {
    let line = r#"{"level":"INFO","fields":{"message":"listening","public":"127.0.0.1:8000","ops":"127.0.0.1:9000"}}"#;
    let (public, ops) = super::listening(line).unwrap();
    assert_eq!((public.port(), ops.port()), (8000, 9000));
    assert!(super::listening(r#"{"fields":{"message":"listening on port 8000"}}"#).is_none());
    assert!(super::listening("thread 'main' panicked").is_none());
}

#[test]
fn a_log_field_is_found_in_the_event_its_spans_or_the_line() {
    let line = r#"{"level":"WARN","target":"t","fields":{"message":"m","n":1},"span":{"id":"b"},"spans":[{"id":"a","user":"u"}]}"#;
    let line = LogLine::new(line);
    assert_eq!((line.message(), line.level(), line.target()), ("m", "WARN", "t"));
    assert_eq!(line.field("n"), Some(&1.into()));
    assert_eq!(line.field("id"), Some(&"b".into()));
    assert_eq!(line.field("user"), Some(&"u".into()));
    assert_eq!(LogLine::new("plain text").message(), "");
}

#[test]
fn metrics_are_summed_over_the_labels_not_asked_for() {
    let text = "# HELP c A counter.\n# TYPE c counter\nc{kind=\"a\",ns=\"x\"} 2\nc{kind=\"a\",ns=\"y\"} 3\nc{kind=\"b\",ns=\"\\\"},\\\\\"} 4\ng 1.5e3 17\n";
    let metrics = Metrics::parse(text).unwrap();
    assert_eq!(metrics.value("c", &[("kind", "a")]), Some(5.0));
    assert_eq!(metrics.value("c", &[("kind", "a"), ("ns", "y")]), Some(3.0));
    assert_eq!(metrics.value("c", &[("ns", "\"},\\")]), Some(4.0));
    assert_eq!(metrics.value("c", &[("kind", "z")]), None);
    assert_eq!(
        (metrics.sum("c"), metrics.sum("g"), metrics.sum("absent")),
        (9.0, 1500.0, 0.0)
    );
    assert_eq!(metrics.names(), ["c", "g"]);
    assert!(Metrics::parse("no value").is_err());
    assert!(Metrics::parse("open{a=\"b 1").is_err());
}

use serde_yaml_ng::Value;

use crate::config::{NatsUrl, kind::Kind, show_size, units::parse_size};

#[test]
fn sizes() {
    let read = ["0", "512", "512B", "64KiB", "1 MiB", "3GiB", "2TiB"].map(parse_size);
    assert_eq!(read, [0, 512, 512, 64 << 10, 1 << 20, 3 << 30, 2 << 40].map(Some));
    for wrong in ["", "KiB", "64KB", "1.5MiB", "-1", "64kib", "99999999999GiB"] {
        assert_eq!(parse_size(wrong), None, "{wrong}");
    }
    assert_eq!(
        [0, 1, 1000, 1024, 1536, 1 << 20].map(show_size),
        ["0", "1", "1000", "1KiB", "1536", "1MiB"]
    );
}

fn accepts(kind: Kind, text: &str) -> bool {
    kind.accepts(&Value::from(text))
}

#[test]
fn origins() {
    for right in [
        "*",
        "https://a.example",
        "http://a:80",
        "https://*.a.example:8443",
        "http://[::1]",
        "http://[::1]:81",
    ] {
        assert!(accepts(Kind::Origins, right), "{right}");
    }
    for wrong in [
        "",
        "a.example",
        "https://",
        "https://a/",
        "https://a/b",
        "https://A.example",
        "https://a:0",
        "https://a:x",
        "https://*",
        "https://a.*.b",
        "null",
        "http://[a]",
        "1ttp://a",
    ] {
        assert!(!accepts(Kind::Origins, wrong), "{wrong}");
    }
}

#[test]
fn log_filters() {
    for right in [
        "info",
        "OFF",
        "warn,natter_gateway=debug",
        "natter_gateway::bus=trace",
        "info,[turn]=debug",
    ] {
        assert!(accepts(Kind::Filter, right), "{right}");
    }
    for wrong in ["", " ", "inof", "info,natter", "natter=loud", "info,,"] {
        assert!(!accepts(Kind::Filter, wrong), "{wrong}");
    }
}

#[test]
fn urls() {
    for wrong in [
        "h:4222",
        "http://h",
        "ws://h",
        "nats://",
        "nats://h:x",
        "nats://h/p",
        "nats://h?q",
        "nats://h#f",
    ] {
        assert!(wrong.parse::<NatsUrl>().is_err(), "{wrong}");
    }
    assert!(accepts(Kind::Endpoint, "http://collector:4318"));
    assert!(accepts(Kind::Endpoint, "https://collector:4318"));
    for wrong in ["collector", "grpc://c", "http://u:p@c", "http://", "/v1/traces"] {
        assert!(!accepts(Kind::Endpoint, wrong), "{wrong}");
    }
}

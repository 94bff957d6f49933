use super::{Given, yaml};
use crate::config::Settings;

const KEY: &str = "sesame-0123456789";
const PASSWORD: &str = "hunter2";

#[test]
fn settings_never_show_secrets() {
    let text = format!(
        "{{api: {{keys: [{KEY}], scoped_keys: [{{name: a, keys: [{KEY}-2]}}]}}, proxies: [{{name: a, endpoint: 'http://a', static_headers: ['X-Key: {KEY}']}}], bus: {{nats: {{servers: ['nats://joe:{PASSWORD}@h', 'nats://joe:{PASSWORD}@g']}}}}}}"
    );
    let settings: Settings = text.parse().unwrap();
    for shown in [
        format!("{settings:?}"),
        format!("{settings:#?}"),
        settings.api.keys[0].to_string(),
    ] {
        assert!(shown.contains("***"));
        assert!(!shown.contains(KEY) && !shown.contains(PASSWORD), "{shown}");
    }
}

/// Wrong places, wrong shapes and wrong values: a key or a password stands in each of them and in none of the lines.
#[test]
fn errors_never_show_secrets() {
    let url = format!("nats://joe:{PASSWORD}@h");
    let files = [
        format!("api: {KEY}"),
        format!("api: {{keys: {KEY}}}"),
        format!("api: {{keys: [[{KEY}]]}}"),
        format!("api: {{keys: [{{a: {KEY}}}]}}"),
        format!("api: {{keys: ['{KEY} {KEY}', {KEY}, {KEY}]}}"),
        "api: {keys: [72057594037927936]}".to_owned(),
        format!("api: {{scoped_keys: [{{name: a, keys: ['{KEY} {KEY}', {KEY}, {KEY}]}}]}}"),
        format!("api: {{scoped_keys: [{{name: a, keys: {KEY}}}]}}"),
        format!("bus: '{url}'"),
        format!("bus: {{nats: '{url}'}}"),
        format!("bus: {{nats: {{servers: '{url}'}}}}"),
        format!(
            "bus: {{nats: {{servers: ['http://joe:{PASSWORD}@h', '{url}/path', 'nats://joe:{PASSWORD}@', '{PASSWORD}']}}}}"
        ),
        format!("proxies: [{{name: a, static_headers: ['{KEY} {KEY}', 'X Y: {KEY}', 'X-Key {KEY}']}}]"),
        format!("proxies: [{{name: a, endpoint: 'http://joe:{PASSWORD}@h', static_headers: {KEY}}}]"),
        format!("tracing: {{otlp_endpoint: 'http://joe:{PASSWORD}@h'}}"),
    ];
    let hidden = |lines: Vec<String>, case: &str| {
        assert!(!lines.is_empty(), "{case}");
        let text = lines.join("\n");
        assert!(
            ![KEY, PASSWORD, "72057594037927936"]
                .iter()
                .any(|secret| text.contains(secret)),
            "{case}: {text}"
        );
    };
    for file in &files {
        hidden(yaml(file).lines(), file);
    }
    hidden(
        Given::new(
            "",
            [
                ("NATTER_BUS_NATS", url.as_str()),
                ("NATTER_API_KEYS", "72057594037927936 x"),
            ],
        )
        .lines(),
        "variables",
    );
    for set in [
        format!("api.keys=[{KEY}"),
        format!("api.keys:{KEY}"),
        format!("api.keys={KEY}"),
        format!("bus.nats={url}"),
    ] {
        hidden(
            yaml("").flags(|loader| loader.with_set(set.as_str())).lines(),
            &set,
        );
    }
}

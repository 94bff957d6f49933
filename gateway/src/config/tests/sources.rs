use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _, time::Duration};

use super::{Given, yaml};
use crate::config::{Environment, Loader, Who};

#[test]
fn defaults_file_variables_flags_each_lie_over_the_one_before() {
    let text =
        "{client: {channel_limit: 1, channel_max_length: 10, ping_interval: 30s}, bus: {prefix: file}}";
    let variables = [
        ("NATTER_CLIENT_CHANNEL_MAX_LENGTH", "20"),
        ("NATTER_CLIENT_PING_INTERVAL", "40s"),
    ];
    let given = Given::new(text, variables).flags(|loader| {
        loader
            .with_set("client.ping_interval=1m")
            .with_flag("--log-level", "log.level", "debug")
            .with_set("log.level=warn")
    });
    let settings = given.load().unwrap();
    assert_eq!(settings.client.stale_timeout, Duration::from_secs(10));
    assert_eq!(settings.client.channel_limit, 1);
    assert_eq!(settings.client.channel_max_length, 20);
    assert_eq!(settings.client.ping_interval, Duration::from_mins(1));
    assert_eq!(settings.bus.prefix, "file");
    assert_eq!(settings.log.level, "warn");
}

#[test]
fn a_flag_names_the_file_before_the_variable_does() {
    let given = Given::new("bus: {prefix: flag}", [("NATTER_CONFIG", "no/such/file.yaml")]);
    assert_eq!(given.load().unwrap().bus.prefix, "flag");
}

#[test]
fn every_kind_of_variable_is_read() {
    let settings = Given::new(
        "",
        [
            ("NATTER_LISTEN", "127.0.0.1:0"),
            ("NATTER_WORKERS", "2"),
            ("NATTER_NODE_NAME", "12"),
            ("NATTER_PAGE_ENABLED", "false"),
            ("NATTER_TRACING_SAMPLE_RATIO", "0.5"),
            ("NATTER_CLIENT_MESSAGE_SIZE_LIMIT", "4096"),
            (
                "NATTER_HTTP_ALLOWED_ORIGINS",
                "https://a.example, http://b.example:81,",
            ),
            ("NATTER_API_KEYS", "1234,true"),
            ("NATTER_BUS_NATS", "{servers: ['nats://below'], name: kept}"),
            ("NATTER_BUS_NATS_SERVERS", "nats://a,nats://b"),
            ("NATTER_ROOMS_DEFAULT", "null"),
            (
                "NATTER_ROOMS_NAMESPACES",
                r#"[{"name": "news", "publish": "server"}]"#,
            ),
            ("OTHER", "ignored"),
        ],
    )
    .load()
    .unwrap();
    assert_eq!(
        (
            settings.listen.port(),
            settings.workers,
            settings.node_name.as_str()
        ),
        (0, 2, "12")
    );
    assert!(!settings.page.enabled && settings.tracing.sample_ratio > 0.4);
    assert_eq!(settings.client.message_size_limit, 4096);
    assert_eq!(
        settings.http.allowed_origins,
        ["https://a.example", "http://b.example:81"]
    );
    assert!(settings.api.keys[0].matches(b"1234") && settings.api.keys[1].matches(b"true"));
    let nats = settings.bus.nats.as_ref().unwrap();
    assert_eq!((nats.servers.len(), nats.name.as_deref()), (2, Some("kept")));
    assert_eq!(settings.rooms.default, None);
    assert_eq!(settings.rooms.namespaces[0].options.publish, Who::Server);
}

#[test]
fn an_empty_variable_is_an_empty_list_or_an_error() {
    let keys = "api: {keys: [from-file]}";
    assert!(
        Given::new(keys, [("NATTER_API_KEYS", "")])
            .load()
            .unwrap()
            .api
            .keys
            .is_empty()
    );
    let given = Given::new("", [("NATTER_WORKERS", ""), ("NATTER_DRAIN_ACCEPT", "")]);
    assert_eq!(
        given.lines(),
        [
            "workers: \"\" is not a whole number (digits, such as 128), set by NATTER_WORKERS",
            "drain.accept: \"\" is not a duration (a number with a unit, such as 25s or 1m 30s), set by NATTER_DRAIN_ACCEPT",
        ]
    );
}

#[test]
fn null_takes_a_key_back_to_its_default() {
    let text =
        "{client: {user_id_header: x-user-id, channel_limit: 5}, bus: {nats: {servers: ['nats://h']}}}";
    let given = yaml(text).flags(|loader| {
        loader
            .with_set("client.user_id_header=null")
            .with_set("client.channel_limit=~")
            .with_set("bus.nats=null")
    });
    let settings = given.load().unwrap();
    assert_eq!(
        (settings.client.user_id_header, settings.client.channel_limit),
        (None, 128)
    );
    assert!(settings.bus.nats.is_none());
    let whole = yaml(text)
        .flags(|loader| loader.with_set("client=null"))
        .load()
        .unwrap();
    assert_eq!(whole.client.channel_limit, 128);
}

#[test]
fn sections_are_merged_and_lists_replaced() {
    let text = "{rooms: {default: null, namespaces: [{name: a}, {name: b}]}, client: {channel_limit: 5}}";
    let given = Given::new(text, [("NATTER_ROOMS_DEFAULT_SUBSCRIBE", "users")]).flags(|loader| {
        loader
            .with_set("rooms.namespaces=[{name: c}]")
            .with_set("client={ping_interval: 30s}")
    });
    let settings = given.load().unwrap();
    assert_eq!(settings.rooms.namespaces.len(), 1);
    assert_eq!(settings.rooms.default.unwrap().subscribe, Who::Users);
    assert_eq!(settings.client.channel_limit, 5);
}

#[test]
fn misspelt_variables_are_refused_and_service_links_ignored() {
    let links = [
        "NATTER_SERVICE_HOST",
        "NATTER_SERVICE_PORT",
        "NATTER_SERVICE_PORT_HTTP",
        "NATTER_PORT",
        "NATTER_PORT_8000_TCP",
        "NATTER_PORT_8000_TCP_PROTO",
        "NATTER_PORT_8000_TCP_PORT",
        "NATTER_PORT_8000_TCP_ADDR",
        "NATTER_BUS_SERVICE_HOST",
        "NATTER_BUS_PORT_4222_UDP",
        "NATTER_PORT_A_PORT_53_SCTP_ADDR",
    ];
    assert_eq!(
        Given::new("", links.map(|name| (name, "x"))).lines(),
        Vec::<String>::new()
    );
    let unknown = [
        "NATTER_BUS_NATS_SERVER",
        "NATTER_CONFG",
        "NATTER_PORT_8000_TCP_NAME",
        "NATTER_X",
    ];
    assert_eq!(
        Given::new("", unknown.map(|name| (name, "x"))).lines(),
        [
            "NATTER_BUS_NATS_SERVER: unknown variable (did you mean NATTER_BUS_NATS_SERVERS?)",
            "NATTER_CONFG: unknown variable (did you mean NATTER_CONFIG?)",
            "NATTER_PORT_8000_TCP_NAME: unknown variable (names are in docs/configuration.md)",
            "NATTER_X: unknown variable (names are in docs/configuration.md)",
        ]
    );
}

#[test]
fn a_variable_must_be_text_and_yaml_where_yaml_belongs() {
    let bytes = OsString::from_vec(vec![0xff]);
    let environment: Environment = [
        ("NATTER_NODE_NAME", bytes),
        ("NATTER_ROOMS_NAMESPACES", "[".into()),
    ]
    .into_iter()
    .collect();
    let errors = Loader::new(environment).load().unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines[0], "NATTER_NODE_NAME: not UTF-8 (text)");
    assert!(
        lines[1].starts_with("NATTER_ROOMS_NAMESPACES: not YAML: "),
        "{errors}"
    );
}

#[test]
fn a_loader_reads_the_file_anew_each_time() {
    let given = yaml("bus: {prefix: one}");
    assert_eq!(given.load().unwrap().bus.prefix, "one");
    fs::write(given.loader.file().unwrap(), "bus: {prefix: two}").unwrap();
    assert_eq!(given.load().unwrap().bus.prefix, "two");
}

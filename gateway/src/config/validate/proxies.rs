//! Backends, and who names them.

use std::{collections::HashSet, time::Duration};

use http::HeaderName;

use super::MOMENT;
use crate::config::{
    error::Problems,
    settings::{PayloadKind, ProxySettings, RoomOptions, Settings},
    units::show_duration,
};

/// A call holds up its client's other answers for so long.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_mins(10);
/// What belongs to one connection or frames its requests (RFC 9110 section 7.6.1), and what the gateway writes itself.
const RESERVED: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for (index, proxy) in settings.proxies.iter().enumerate() {
        let path = format!("proxies[{index}]");
        name(&format!("{path}.name"), &proxy.name, &mut seen, problems);
        one(&path, proxy, problems);
    }
    named(settings, problems);
}

fn name<'a>(path: &str, name: &'a str, seen: &mut HashSet<&'a str>, problems: &mut Problems) {
    if !problems.sound(&[path]) {
        return;
    }
    problems.token(path, name);
    if !seen.insert(name) {
        let problem = format!("{name:?} is there twice");
        problems.add(path, problem, "one entry for each proxy");
    }
}

fn one(path: &str, proxy: &ProxySettings, problems: &mut Problems) {
    let at = |key: &str| format!("{path}.{key}");
    if proxy.endpoint.is_none() && problems.sound(&[&at("endpoint")]) {
        problems.add(&at("endpoint"), "missing", "the http or https URL of the backend");
    }
    problems.within(&at("timeout"), proxy.timeout, MOMENT..=MAX_TIMEOUT, show_duration);
    problems.within(
        &at("breaker_pause"),
        proxy.breaker_pause,
        MOMENT..=MAX_PAUSE,
        show_duration,
    );
    problems.within(&at("retries"), proxy.retries, 0..=5, |n| n);
    problems.within(&at("max_in_flight"), proxy.max_in_flight, 1..=100_000, |n| n);
    problems.within(&at("breaker_failures"), proxy.breaker_failures, 0..=1_000, |n| n);
    problems.size(&at("answer_max_size"), proxy.answer_max_size, 128);
    for (index, header) in proxy.http_headers.iter().enumerate() {
        free(&at(&format!("http_headers[{index}]")), header, problems);
    }
    for (index, header) in proxy.static_headers.iter().enumerate() {
        free(&at(&format!("static_headers[{index}]")), &header.name, problems);
    }
    let is_empty = |file: &std::path::PathBuf| file.as_os_str().is_empty();
    for (key, file) in [
        ("static_headers_file", &proxy.static_headers_file),
        ("ca_file", &proxy.ca_file),
    ] {
        if file.as_ref().is_some_and(is_empty) {
            problems.add(&at(key), "empty", "the path of a file, or null");
        }
    }
}

fn free(path: &str, name: &HeaderName, problems: &mut Problems) {
    let name = name.as_str();
    if RESERVED.contains(&name) || name.starts_with("sec-websocket-") || name.starts_with("proxy-") {
        problems.add(
            path,
            format!("{name} belongs to one connection"),
            "a header of the request itself",
        );
    }
}

/// Every name that is chosen stands for a proxy that is there and can carry what it is asked about.
fn named(settings: &Settings, problems: &mut Problems) {
    let client = &settings.client;
    for (path, name) in [
        ("client.connect_proxy", &client.connect_proxy),
        ("client.refresh_proxy", &client.refresh_proxy),
        ("client.rpc_proxy", &client.rpc_proxy),
    ] {
        find(settings, path, name.as_deref(), problems);
    }
    let unnamed = settings.rooms.default.iter();
    let unnamed = unnamed.map(|options| ("rooms.default".to_owned(), options));
    let namespaces = settings.rooms.namespaces.iter().enumerate();
    let namespaces = namespaces.map(|(index, named)| (format!("rooms.namespaces[{index}]"), &named.options));
    for (path, options) in unnamed.chain(namespaces) {
        room(settings, &path, options, problems);
    }
}

fn room(settings: &Settings, path: &str, options: &RoomOptions, problems: &mut Problems) {
    let at = format!("{path}.subscribe_proxy");
    find(settings, &at, options.subscribe_proxy.as_deref(), problems);
    let at = format!("{path}.sub_refresh_proxy");
    find(settings, &at, options.sub_refresh_proxy.as_deref(), problems);
    let at = format!("{path}.publish_proxy");
    let proxy = find(settings, &at, options.publish_proxy.as_deref(), problems);
    if options.payload == PayloadKind::Binary
        && let Some(proxy) = proxy
        && !proxy.binary_encoding
    {
        problems.add(
            &at,
            format!(
                "{:?} has messages as JSON, and the room's are any bytes",
                proxy.name
            ),
            "a proxy with binary_encoding: true",
        );
    }
}

fn find<'a>(
    settings: &'a Settings,
    path: &str,
    name: Option<&str>,
    problems: &mut Problems,
) -> Option<&'a ProxySettings> {
    let name = name?;
    let found = settings.proxies.iter().find(|proxy| proxy.name == name);
    if found.is_none() && problems.sound(&[path, "proxies"]) {
        problems.add(
            path,
            format!("there is no proxy {name:?}"),
            "the name of one of proxies, or null",
        );
    }
    found
}

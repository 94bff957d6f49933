//! Backends that guard rooms and connections: where one cannot be asked, nobody comes in instead.

use super::*;
use crate::config::RoomOptions;

/// The first namespace.
fn room(outcome: &Outcome) -> RoomOptions {
    settings(outcome).rooms.namespaces[0].options.clone()
}

fn policies(outcome: &Outcome) -> (Who, Who) {
    let room = room(outcome);
    (room.subscribe, room.publish)
}

#[test]
fn a_refused_proxy_takes_the_permission_with_it() {
    let outcome = yaml(
        "client: {insecure: true}
channel:
  proxy: {publish: {endpoint: 'http://a/publish'}}
  namespaces: [{name: a, publication_data_format: binary, publish_proxy_enabled: true}]",
    );
    assert_eq!(room(&outcome).publish_proxy, None);
    assert_eq!(room(&outcome).publish, Who::Server);
    assert_eq!(left(&outcome), ["channel.namespaces[0].publish_proxy_enabled"]);
    assert!(
        outcome.left[0].why.ends_with("written as `server`"),
        "{outcome:?}"
    );
}

#[test]
fn a_room_whose_backend_cannot_be_asked_is_closed() {
    const BOTH: &str = "allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, \
        allow_publish_for_client: true, allow_publish_for_subscriber: true";
    for (proxies, guards, named) in [
        (
            "{subscribe: {endpoint: 'grpc://a'}, publish: {endpoint: 'grpc://a'}}",
            "subscribe_proxy_enabled: true, publish_proxy_enabled: true",
            4,
        ),
        (
            "{}",
            "subscribe_proxy_enabled: true, publish_proxy_enabled: true",
            2,
        ),
        (
            "{subscribe_stream: {endpoint: 'grpc://a'}}",
            "subscribe_stream_proxy_enabled: true",
            2,
        ),
    ] {
        for insecure in [false, true] {
            let outcome = yaml(&format!(
                "client: {{insecure: {insecure}}}
channel: {{proxy: {proxies}, namespaces: [{{name: a, {BOTH}, {guards}}}]}}"
            ));
            assert_eq!(policies(&outcome), (Who::Server, Who::Server), "{guards}");
            assert_eq!(left(&outcome).len(), named, "{guards}: {outcome:?}");
        }
    }
}

#[test]
fn a_stream_closes_what_no_other_backend_is_asked_about() {
    let outcome = yaml(
        "client: {insecure: true}
channel:
  proxy: {publish: {endpoint: 'http://a/'}}
  namespaces: [{name: a, subscribe_stream_proxy_enabled: true, publish_proxy_enabled: true}]",
    );
    assert_eq!(policies(&outcome), (Who::Server, Who::Anyone));
    assert_eq!(room(&outcome).publish_proxy.as_deref(), Some("publish"));
}

#[test]
fn a_name_alone_asked_a_backend_in_version_5() {
    let file = |proxies: &str| {
        yaml(&format!(
            "granular_proxy_mode: true
connect_proxy_name: mine
rpc_proxy_name: mine
namespaces:
  - {{name: a, allow_subscribe_for_client: true, allow_publish_for_client: true, subscribe_proxy_name: mine,
     publish_proxy_name: mine}}
proxies: [{proxies}]"
        ))
    };
    let outcome = file("{name: mine, endpoint: 'http://a/', static_http_headers: {X-Key: k}}");
    assert_eq!(outcome.left, [], "{}", outcome.config);
    let all = settings(&outcome);
    assert_eq!(all.client.connect_proxy.as_deref(), Some("mine"));
    assert_eq!(all.client.rpc_proxy.as_deref(), Some("mine"));
    assert!(!all.listen.ip().is_loopback());
    assert_eq!(room(&outcome).subscribe_proxy.as_deref(), Some("mine"));
    assert_eq!(room(&outcome).publish_proxy.as_deref(), Some("mine"));

    let outcome = file("{name: mine, endpoint: 'grpc://a'}");
    assert_eq!(policies(&outcome), (Who::Server, Who::Server));
    let left = left(&outcome);
    for option in [
        "connect_proxy_name",
        "rpc_proxy_name",
        "namespaces[0].subscribe_proxy_name",
        "namespaces[0].publish_proxy_name",
        "proxies[0].endpoint",
    ] {
        assert!(left.contains(&option), "{option}: {left:?}");
    }

    for stream in [
        "namespaces: [{name: a, allow_subscribe_for_client: true, subscribe_stream_proxy_name: s}]",
        "namespaces: [{name: a, allow_subscribe_for_client: true, proxy_subscribe_stream: true}]",
    ] {
        assert_eq!(policies(&yaml(stream)), (Who::Server, Who::Server), "{stream}");
    }
    let outcome = yaml("allow_subscribe_for_client: true\nproxy_stream_subscribe: true");
    assert_eq!(settings(&outcome).rooms.default.unwrap().subscribe, Who::Server);
}

#[test]
fn a_name_without_its_switch_asks_nobody_in_version_6() {
    let outcome = yaml(
        "channel:
  proxy: {subscribe: {endpoint: 'http://a/'}}
  namespaces: [{name: a, allow_subscribe_for_client: true, subscribe_proxy_name: default}]",
    );
    assert_eq!(policies(&outcome), (Who::Users, Who::Token));
    assert_eq!(room(&outcome).subscribe_proxy, None);
    assert_eq!(outcome.spared.len(), 1, "{outcome:?}");
}

#[test]
fn connections_that_nobody_can_be_asked_about_are_kept_out() {
    for endpoint in ["grpc://a", "http://joe:secret@a/"] {
        for also in [
            "allow_anonymous_connect_without_token: true",
            "insecure: true",
            "user_id_http_header: X-User-Id",
        ] {
            let outcome = yaml(&format!(
                "client: {{{also}, proxy: {{connect: {{enabled: true, endpoint: '{endpoint}'}}}}}}"
            ));
            let settings = settings(&outcome);
            assert!(settings.listen.ip().is_loopback(), "{also}");
            assert!(!outcome.config.contains("anonymous: allow"), "{also}");
            let text = format!("{outcome:?}");
            assert!(!text.contains("secret"), "credentials are shown: {text}");
        }
    }
}

#[test]
fn one_proxy_that_cannot_be_had_is_left_out_alone() {
    let outcome = yaml(
        "client: {proxy: {connect: {enabled: true, endpoint: 'http://a/connect'}}}
channel: {namespaces: [{name: a, allow_subscribe_for_client: true, subscribe_proxy_enabled: true, subscribe_proxy_name: my.own}]}
proxies:
  - {name: my.own, endpoint: 'http://a/'}
  - {name: keyed, endpoint: 'http://user:pw@a/'}
  - {name: part, endpoint: 'http://a/#part'}
  - {name: twice, endpoint: 'http://a/1'}
  - {name: twice, endpoint: 'http://a/2'}
  - {name: nowhere}
  - {endpoint: 'http://a/3'}
  - {name: connect, endpoint: 'http://b/connect'}",
    );
    let all = settings(&outcome);
    let names: Vec<_> = all.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    assert_eq!(names, ["twice", "connect"]);
    assert_eq!(
        left(&outcome),
        [
            "proxies[0].name",
            "proxies[1].endpoint",
            "proxies[2].endpoint",
            "proxies[4].name",
            "proxies[5].name",
            "proxies[6].endpoint",
            "client.proxy.connect.endpoint",
            "client.proxy.connect.enabled",
            "channel.namespaces[0].subscribe_proxy_name",
        ]
    );
    // The other backend of that name is not asked in its place.
    assert_eq!(all.client.connect_proxy, None);
    assert!(all.listen.ip().is_loopback());
    assert_eq!(policies(&outcome), (Who::Server, Who::Token));
}

#[test]
fn a_backend_that_has_no_name_is_not_mistaken_for_one_that_has() {
    let outcome = yaml(
        "channel: {namespaces: [{name: a, allow_subscribe_for_client: true, subscribe_proxy_enabled: true}]}
proxies: [{name: subscribe, endpoint: 'http://b/'}]",
    );
    assert_eq!(room(&outcome).subscribe_proxy, None);
    assert_eq!(policies(&outcome), (Who::Server, Who::Token));
}

#[test]
fn proxies_of_version_5_share_their_headers() {
    let outcome = yaml(
        "client_insecure: true
proxy_rpc_endpoint: http://a/
proxy_publish_endpoint: http://b/
proxy_publish: true
proxy_http_headers: [Cookie]
proxy_static_http_headers: {X-Key: k}
proxy_binary_encoding: true
proxy_include_connection_meta: true
granular_proxy_mode: false
proxies: [{name: mine, endpoint: 'http://c/', static_http_headers: {X-Other: o}}]",
    );
    assert_eq!(outcome.left, [], "{}", outcome.config);
    let proxies = settings(&outcome).proxies;
    let all = proxies.iter().map(|proxy| {
        let given: Vec<_> = proxy.http_headers.iter().map(http::HeaderName::as_str).collect();
        let own: Vec<_> = proxy
            .static_headers
            .iter()
            .map(|header| header.name.as_str())
            .collect();
        let switches = (proxy.binary_encoding, proxy.include_connection_meta);
        (proxy.name.as_str(), given, own, switches)
    });
    let expected = [
        ("mine", vec![], vec!["x-other"], (false, false)),
        ("publish", vec!["cookie"], vec!["x-key"], (true, true)),
        ("rpc", vec!["cookie"], vec!["x-key"], (true, true)),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected);
}

#[test]
fn what_proxies_of_version_5_share_is_named_where_it_is_not_converted() {
    let outcome = yaml(
        "client_insecure: true
proxy_rpc_endpoint: http://a/
proxy_http_status_code_transforms: [{status_code: 404}]
proxy_grpc_compression: true",
    );
    let whys: Vec<_> = outcome
        .left
        .iter()
        .map(|note| (note.option.as_str(), note.why.as_str()))
        .collect();
    assert_eq!(whys.len(), 2, "{whys:?}");
    assert!(whys[0].1.contains("answers"), "{whys:?}");
    assert!(whys[1].1.contains("over HTTP"), "{whys:?}");

    let outcome = yaml("client_insecure: true\nproxy_http_headers: [Cookie]");
    assert_eq!(outcome.left, []);
    assert_eq!(outcome.spared[0].option, "proxy_http_headers");
}

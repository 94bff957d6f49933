//! Keys that may do less than everything, at every door that asks for one.

use super::*;

const SCOPED: &str =
    "[{name: feed, keys: [feed-key], methods: [publish, broadcast, disconnect], namespaces: [passing]},
    {name: reader, keys: [reader-key], methods: [history]},
    {name: warden, keys: [warden-key], namespaces: [passing]}]";

/// Key, verb, path, body, and the status that is answered.
const CALLS: &str = r#"
    feed-key POST /api/publish {"channel":"passing:a","data":1} 200
    feed-key POST /api/publish {"channel":"kept:a","data":1} 403
    feed-key POST /api/broadcast {"channels":["passing:a","kept:a"],"data":1} 403
    feed-key POST /api/history {"channel":"passing:a"} 403
    feed-key POST /api/info {} 403
    feed-key POST /api/disconnect {"user":"nobody"} 200
    feed-key POST /v1/rooms/passing:a/messages {"data":1} 202
    feed-key POST /v1/rooms/kept:a/messages {"data":1} 403
    feed-key GET /v1/rooms/passing:a/messages {} 403
    reader-key POST /api/history {"channel":"kept:a"} 200
    reader-key GET /v1/rooms/kept:a/messages {} 200
    reader-key DELETE /v1/rooms/kept:a/messages {} 403
    reader-key POST /v1/rooms/kept:a/messages {"data":1} 403
    warden-key POST /api/ban_user {"user":"x","channel":"passing:a"} 200
    warden-key POST /api/ban_user {"user":"x","channel":"kept:a"} 403
    warden-key POST /api/unban_user {"user":"x","channel":"passing:a"} 200
    warden-key POST /api/unban_user {"user":"x","channel":"kept:a"} 403
    warden-key POST /api/invalidate_user_tokens {"user":"x","channel":"passing:a"} 200
    warden-key POST /api/invalidate_user_tokens {"user":"x","channel":"kept:a"} 403
    warden-key POST /api/invalidate_user_tokens {"user":"x"} 403
    warden-key POST /api/block_user {"user":"x"} 403
    warden-key POST /api/unblock_user {"user":"x"} 403
    warden-key POST /api/revoke_token {"uid":"x"} 403
    warden-key POST /api/revocations {} 403
    api-key POST /v1/rooms/kept:a/messages {"data":1} 201
    feed-kez POST /api/publish {"channel":"passing:a","data":1} 401
"#;

impl Api {
    async fn ask_by(&self, key: &str, method: &str, uri: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-api-key", key);
        self.ask(request, body.to_string()).await
    }
}

#[tokio::test]
async fn a_call_outside_the_scope_of_its_key_is_refused_at_every_door() {
    let api = Api::with_keys(SCOPED);
    for call in CALLS.lines().filter(|line| !line.is_empty()) {
        let [key, verb, uri, body, status] = call.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{call}");
        };
        let key = if key == "api-key" { KEY } else { key };
        let status: u16 = status.parse().unwrap();
        let body = serde_json::from_str(body).unwrap();
        let answer = api.ask_by(key, verb, uri, &body).await;
        assert_eq!(answer.status, status, "{key} {verb} {uri}: {}", answer.body);
        if status == 403 {
            assert_eq!(answer.error(), (403, Some(103)), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn of_several_calls_each_is_judged_by_itself() {
    let api = Api::with_keys(SCOPED);
    let commands = json!({ "commands": [
        { "publish": { "channel": "passing:a", "data": 1 } },
        { "publish": { "channel": "kept:a", "data": 1 } },
        { "channels": {} },
    ] });
    let answer = api.ask_by("feed-key", "POST", "/api/batch", &commands).await;
    let replies = answer.json()["replies"].take();
    assert_eq!(replies[0], json!({ "publish": {} }));
    for refused in [&replies[1], &replies[2]] {
        assert_eq!(refused["error"]["code"], 103, "{replies}");
    }
    let lines = json!({ "id": 7, "method": "info", "params": {} });
    let answer = api.ask_by("feed-key", "POST", "/api", &lines).await;
    assert_eq!(answer.json()["error"]["code"], 103, "{}", answer.body);
}

#[tokio::test]
async fn keys_are_counted_by_their_names() {
    let settings = Loader::new(
        [
            ("NATTER_API_SCOPED_KEYS", SCOPED),
            ("NATTER_ROOMS_NAMESPACES", "[{name: passing}]"),
        ]
        .into_iter()
        .collect(),
    );
    let gateway = Gateway::embedded(settings.load().unwrap());
    let api = Api {
        router: crate::api::router(gateway.clone()),
    };
    for channel in ["passing:a", "kept:a"] {
        api.ask_by(
            "feed-key",
            "POST",
            "/api/publish",
            &json!({ "channel": channel, "data": 1 }),
        )
        .await;
    }
    let text = gateway.metrics.encode().unwrap();
    for line in [
        r#"natter_api_key_requests_total{api_key="feed"} 2"#,
        r#"natter_api_key_refusals_total{api_key="feed"} 1"#,
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(!text.contains("feed-key"));
}

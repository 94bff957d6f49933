//! The server API: publishing, looking, and requests that are none.

use anyhow::{Context, Result};
use natter_tests::gateway::API_METHODS;
use natter_tests::raw::RawSocket;
use serde_json::{Value, json};

use crate::scene::{Scene, connected, member};

const KEY: Option<&str> = Some("natter-tests");

#[tokio::test]
async fn publish_reaches_the_room_with_its_tags() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = member(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let request = json!({ "channel": "room", "data": { "text": "hi" }, "tags": { "lang": "en", "a": "b" }, "skip_history": true });
    assert_eq!(
        scene.gateway.api("publish", &request).await?,
        json!({ "result": {} })
    );
    let expected =
        json!({ "channel": "room", "pub": { "data": { "text": "hi" }, "tags": { "lang": "en", "a": "b" } } });
    assert_eq!(client.push().await?, expected);
    watch
        .counted("natter_publications_total", &[("source", "api")], 1)
        .await?;
    watch
        .counted(
            "natter_api_requests_total",
            &[("method", "publish"), ("code", "0")],
            1,
        )
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn errors_of_a_call_have_http_200_and_a_code() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    for (method, request, code, message) in [
        ("publish", json!({ "channel": "", "data": 1 }), 107, "bad request"),
        ("publish", json!({ "data": 1 }), 107, "bad request"),
        ("publish", json!({ "channel": "room" }), 107, "bad request"),
        (
            "publish",
            json!({ "channel": "room", "data": 1, "b64data": "MQ==" }),
            107,
            "bad request",
        ),
        (
            "publish",
            json!({ "channel": "nowhere:room", "data": 1 }),
            102,
            "unknown channel",
        ),
        (
            "broadcast",
            json!({ "channels": [], "data": 1 }),
            107,
            "bad request",
        ),
        ("broadcast", json!({ "channels": ["room"] }), 107, "bad request"),
        (
            "subscribe",
            json!({ "user": "42", "channel": "" }),
            107,
            "bad request",
        ),
        (
            "subscribe",
            json!({ "user": "42", "channel": "nowhere:room" }),
            102,
            "unknown channel",
        ),
        ("subscribe", json!({ "channel": "room" }), 107, "bad request"),
        ("unsubscribe", json!({ "channel": "room" }), 107, "bad request"),
        ("disconnect", json!({}), 107, "bad request"),
        ("disconnect", json!({ "user": "" }), 107, "bad request"),
        ("disconnect", json!({ "client": "no uuid" }), 107, "bad request"),
        (
            "disconnect",
            json!({ "user": "42", "disconnect": { "code": 1000, "reason": "r" } }),
            107,
            "bad request",
        ),
        (
            "disconnect",
            json!({ "user": "42", "disconnect": { "code": 5000, "reason": "r" } }),
            107,
            "bad request",
        ),
        (
            "disconnect",
            json!({ "user": "42", "disconnect": { "code": 4000, "reason": "r".repeat(124) } }),
            107,
            "bad request",
        ),
    ] {
        let (status, body) = scene.gateway.api_raw(method, KEY, request.to_string()).await?;
        let body: Value = serde_json::from_str(&body)?;
        let error = json!({ "error": { "code": code, "message": message } });
        assert_eq!((status, body), (200, error), "{method} {request}");
    }
    watch
        .counted("natter_api_requests_total", &[("code", "107")], 15)
        .await?;
    watch
        .counted("natter_api_requests_total", &[("code", "102")], 2)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn requests_that_are_none_have_a_status_of_their_own() -> Result<()> {
    let scene = Scene::open("http: {body_max_size: 4KiB}").await?;
    let watch = scene.watch().await?;
    let status = async |method: &str, key: Option<&str>, body: &str| -> Result<u16> {
        Ok(scene.gateway.api_raw(method, key, body).await?.0)
    };
    for method in API_METHODS {
        assert_eq!(status(method, Some("natter-test"), "{}").await?, 401, "{method}");
        assert_eq!(status(method, None, "{}").await?, 401, "{method}");
    }
    watch
        .counted("natter_api_requests_total", &[("code", "401")], 42)
        .await?;
    watch
        .logged(
            "INFO",
            "refused an API call without a valid key",
            &[("method", json!("publish"))],
        )
        .await?;
    for body in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{\"channel\":7,\"data\":1}",
        "{\"channel\":\"a\",\"data\":1}}",
        "{\"channel\":\"a\",\"data\":1,\"tags\":{\"a\":1}}",
    ] {
        assert_eq!(status("publish", KEY, body).await?, 400, "{body:?}");
    }
    watch
        .counted(
            "natter_api_requests_total",
            &[("method", "publish"), ("code", "400")],
            8,
        )
        .await?;
    assert_eq!(status("teleport", KEY, "{}").await?, 404);
    assert_eq!(status("publish/", KEY, "{}").await?, 404);
    watch
        .counted(
            "natter_api_requests_total",
            &[("method", "unknown"), ("code", "404")],
            1,
        )
        .await?;
    for method in API_METHODS {
        let url = format!("{}/api/{method}", scene.gateway.http_url());
        assert_eq!(scene.gateway.get(&url).await?.0, 405, "{method}");
    }
    let large = json!({ "channel": "room", "data": "x".repeat(4096) }).to_string();
    assert_eq!(status("publish", KEY, &large).await?, 413);
    watch
        .counted(
            "natter_api_requests_total",
            &[("method", "publish"), ("code", "413")],
            1,
        )
        .await?;
    scene.untroubled().await
}

/// Nothing of a body that says to be too large is waited for.
#[tokio::test]
async fn a_body_too_large_is_refused_by_its_declared_length() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let head = "POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: natter-tests\r\nContent-Length: 20971520\r\n\r\n{";
    socket.write(head.as_bytes()).await?;
    assert!(socket.read_head().await?.starts_with("HTTP/1.1 413 "));
    scene.untroubled().await
}

/// A message as large as a request may be is no reason to call its readers slow.
#[tokio::test]
async fn a_message_as_large_as_a_request_may_be_cuts_nobody() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = member(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let data = "x".repeat((1 << 20) - "{\"channel\":\"room\",\"data\":\"\"}".len());
    let body = json!({ "channel": "room", "data": data }).to_string();
    assert_eq!(body.len(), 1 << 20);
    assert_eq!(scene.gateway.api_raw("publish", KEY, body).await?.0, 200);
    assert_eq!(client.push().await?["pub"]["data"], data);
    watch.counted("natter_disconnects_total", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn broadcast_answers_for_every_room() -> Result<()> {
    let scene = Scene::open("").await?;
    let (mut a, mut b) = (
        member(&scene.gateway, "a").await?,
        member(&scene.gateway, "b").await?,
    );
    let request = json!({ "channels": ["a", "nowhere:x", "b", ""], "data": { "n": 1 } });
    let answer = scene.gateway.api("broadcast", &request).await?;
    let error = |code: u32, message: &str| json!({ "error": { "code": code, "message": message } });
    let responses = json!([
        { "result": {} },
        error(102, "unknown channel"),
        { "result": {} },
        error(107, "bad request"),
    ]);
    assert_eq!(answer, json!({ "result": { "responses": responses } }));
    assert_eq!(a.push().await?["pub"], json!({ "data": { "n": 1 } }));
    assert_eq!(b.push().await?["pub"], json!({ "data": { "n": 1 } }));
    scene.untroubled().await
}

#[tokio::test]
async fn info_and_channels_count_clients_and_rooms() -> Result<()> {
    let scene =
        Scene::open("rooms: {namespaces: [{name: team, subscribe: anyone}]}\nnode_name: node-1").await?;
    let mut clients = Vec::new();
    for channel in ["team:a", "team:a", "team:b", "other"] {
        clients.push(member(&scene.gateway, channel).await?);
    }
    let mut late = connected(&scene.gateway).await?;
    late.request(json!({ "subscribe": { "channel": "team:a" } }))
        .await?;

    let channels = async |request: Value| -> Result<Value> {
        let mut answer = scene.gateway.api("channels", &request).await?;
        Ok(answer["result"]["channels"].take())
    };
    let team = json!({ "team:a": { "num_clients": 3 }, "team:b": { "num_clients": 1 } });
    assert_eq!(channels(json!({ "pattern": "team:*" })).await?, team);
    assert_eq!(channels(json!({ "pattern": "nothing*" })).await?, json!({}));
    let all = channels(json!({})).await?;
    assert_eq!(
        all.as_object().map(serde_json::Map::len),
        Some(4),
        "with the bystander's: {all}"
    );

    let info = scene.gateway.api("info", &json!({})).await?;
    let nodes = info["result"]["nodes"].as_array().context("nodes")?;
    assert_eq!(nodes.len(), 1);
    let node = &nodes[0];
    let counts = ["num_clients", "num_users", "num_subs", "num_channels"].map(|name| node[name].as_u64());
    assert_eq!(counts, [Some(6), Some(0), Some(6), Some(4)], "{node}");
    assert_eq!(
        (&node["name"], node["uid"].as_str().map(str::len)),
        (&json!("node-1"), Some(36))
    );
    assert_eq!(
        scene.gateway.api_raw("info", KEY, "").await?.0,
        200,
        "a body is not needed"
    );
    scene.untroubled().await
}

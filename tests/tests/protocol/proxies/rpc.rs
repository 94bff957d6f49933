//! Calls of clients, which a backend answers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::beside;
use crate::scene::{LIMIT, Scene, connected, gateway, member};

const RPC: &str = "client: {rpc_proxy: backend, user_id_header: x-user, anonymous: allow}";

fn rpc(id: u32, method: &str) -> Value {
    json!({ "id": id, "rpc": { "method": method, "data": { "number": id } } })
}

#[tokio::test]
async fn a_backend_is_told_who_asks_what() -> Result<()> {
    let mut backend = Backend::start().await?;
    let headers = ", http_headers: [Cookie], static_headers: ['X-Key: secret'], static_headers_file: null";
    let gateway = beside(&backend, headers, RPC).await?;
    let mut request = gateway.ws_url().into_client_request()?;
    for (name, value) in [
        ("x-user", "ann"),
        ("cookie", "a=1"),
        ("authorization", "of the client"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let mut client = Client::open(request).await?;
    let connect = client.request(json!({ "connect": {} })).await?;
    client.send(&rpc(7, "read")).await?;
    let asked = backend.asked().await?;
    let expected = json!({
        "client": connect["connect"]["client"], "transport": "websocket", "protocol": "json", "encoding": "json",
        "user": "ann", "method": "read", "data": { "number": 7 },
    });
    ensure!(asked.path == "/ask" && asked.body == expected, "{}", asked.body);
    let mut names: Vec<_> = asked.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "content-type",
            "cookie",
            "host",
            "user-agent",
            "x-key"
        ]
    );
    assert_eq!(asked.headers["cookie"], "a=1");
    asked.result(&json!({ "data": { "answer": [1, 2] } }))?;
    let reply = client.recv_where(|value| value["id"] == 7).await?;
    assert_eq!(reply, json!({ "id": 7, "rpc": { "data": { "answer": [1, 2] } } }));
    let log = gateway.logs();
    ensure!(
        !log.iter().any(|line| line.text.contains("secret")),
        "the log has the header"
    );
    Ok(())
}

#[tokio::test]
async fn answers_errors_and_disconnects_reach_the_client() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", RPC).await?;
    let mut client = connected(&gateway).await?;
    for (answer, reply) in [
        (json!({}), json!({ "rpc": {} })),
        (
            json!({ "result": { "data": null } }),
            json!({ "rpc": { "data": null } }),
        ),
        (
            json!({ "result": { "b64data": "eyJhIjoxfQ==" } }),
            json!({ "rpc": { "data": { "a": 1 } } }),
        ),
        (
            json!({ "error": { "code": 1000, "message": "not yours" } }),
            json!({ "error": { "code": 1000, "message": "not yours" } }),
        ),
        (
            json!({ "error": { "code": 1001, "message": "later", "temporary": true } }),
            json!({ "error": { "code": 1001, "message": "later", "temporary": true } }),
        ),
    ] {
        client.send(&rpc(9, "ask")).await?;
        backend.asked().await?.answer(&answer)?;
        let mut got = client.recv_where(|value| value["id"] == 9).await?;
        got.as_object_mut().context("no object")?.remove("id");
        assert_eq!(got, reply, "{answer}");
    }
    let own = gateway.metrics().await?.value(
        "natter_command_errors_total",
        &[("command", "rpc"), ("code", "0")],
    );
    assert_eq!(own, Some(2.0));
    client.send(&rpc(10, "ask")).await?;
    backend
        .asked()
        .await?
        .answer(&json!({ "disconnect": { "code": 4242, "reason": "enough" } }))?;
    assert_eq!(client.close_frame().await?, (4242, "enough".to_owned()));
    Ok(())
}

#[tokio::test]
async fn replies_keep_the_order_of_commands_and_calls_run_side_by_side() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", RPC).await?;
    let mut client = connected(&gateway).await?;
    let mut other = connected(&gateway).await?;
    client
        .send_batch(&[
            rpc(11, "first"),
            rpc(12, "second"),
            json!({ "id": 13, "unsubscribe": { "channel": "x" } }),
        ])
        .await?;
    let (one, two) = (backend.asked().await?, backend.asked().await?);
    let (first, second) = if one.body["method"] == "first" {
        (one, two)
    } else {
        (two, one)
    };
    second.result(&json!({ "data": 2 }))?;
    // Somebody else is not held up.
    other.send(&rpc(5, "other")).await?;
    backend.asked().await?.result(&json!({ "data": 5 }))?;
    assert_eq!(other.recv().await?["rpc"]["data"], 5);
    first.result(&json!({ "data": 1 }))?;
    for id in 11..=13 {
        assert_eq!(client.recv().await?["id"], id);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_calls_with_it() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", RPC).await?;
    let mut client = connected(&gateway).await?;
    client.send(&rpc(5, "ask")).await?;
    let asked = backend.asked().await?;
    drop(client);
    asked.given_up().await?;
    let labels = [("kind", "rpc"), ("result", "abandoned")];
    eventually("the call is counted", LIMIT, async || {
        let metrics = gateway.metrics().await?;
        ensure!(metrics.value("natter_proxy_calls_total", &labels) == Some(1.0));
        ensure!(metrics.value("natter_proxy_calls_in_flight", &[]) == Some(0.0));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bad_backend_is_an_internal_error_and_troubles_nobody_else() -> Result<()> {
    let mut backend = Backend::start().await?;
    let config = "client: {rpc_proxy: backend}";
    let more = format!(
        "proxies: [{{name: backend, endpoint: '{}', timeout: 300ms, answer_max_size: 1KiB, breaker_failures: 0}}]\n{config}",
        backend.url()
    );
    let scene = Scene::open(&more).await?;
    let mut client = connected(&scene.gateway).await?;
    for bad in [
        "",
        "no json",
        "[]",
        "{\"result\": 1}",
        "{\"error\": {}}",
        "{\"disconnect\": {\"code\": 1}}",
    ] {
        client.send(&rpc(5, "ask")).await?;
        backend.asked().await?.text(bad)?;
        let reply = client.recv_where(|value| value["id"] == 5).await?;
        ensure!(
            reply["error"]["code"] == 100 && reply["error"]["temporary"] == true,
            "{bad:?}: {reply}"
        );
    }
    client.send(&rpc(6, "ask")).await?;
    backend
        .asked()
        .await?
        .text(format!("{{{}}}", " ".repeat(2_000)))?;
    assert_eq!(client.recv().await?["error"]["code"], 100);
    client.send(&rpc(7, "ask")).await?;
    let slow = backend.asked().await?;
    assert_eq!(client.recv().await?["error"]["code"], 100);
    slow.given_up().await?;
    let metrics = scene.gateway.metrics().await?;
    for (outcome, count) in [("malformed", 6.0), ("too_large", 1.0), ("timeout", 1.0)] {
        let labels = [("kind", "rpc"), ("result", outcome)];
        assert_eq!(
            metrics.value("natter_proxy_calls_total", &labels),
            Some(count),
            "{outcome}"
        );
    }
    scene.untroubled_but("a backend gave no verdict").await
}

#[tokio::test]
async fn nobody_is_asked_where_nobody_is_named() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = member(&gateway, "room").await?;
    let reply = client.request(json!({ "rpc": { "method": "ask" } })).await?;
    ensure!(reply["error"]["code"] == 108, "{reply}");
    Ok(())
}

#[tokio::test]
async fn a_dead_backend_is_left_alone_and_found_again() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(
        &backend,
        ", breaker_failures: 2, breaker_pause: 300ms, retries: 0",
        RPC,
    )
    .await?;
    let mut client = connected(&gateway).await?;
    for id in [5, 6] {
        client.send(&rpc(id, "ask")).await?;
        drop(backend.asked().await?);
        assert_eq!(client.recv().await?["error"]["code"], 100);
    }
    let reply = client.request(json!({ "rpc": { "method": "ask" } })).await?;
    ensure!(reply["error"]["code"] == 100 && !backend.is_asked(), "{reply}");
    let line = |text: &'static str| gateway.wait_log(move |line| line.message() == text, LIMIT);
    line("a backend fails and is left alone for a while").await?;
    eventually("the backend is tried again", Duration::from_secs(5), async || {
        client.send(&rpc(9, "ask")).await?;
        let asked = tokio::time::timeout(Duration::from_millis(50), backend.asked()).await;
        let Ok(asked) = asked else {
            client.recv().await?;
            anyhow::bail!("it is still left alone");
        };
        asked?.result(&json!({ "data": "well" }))?;
        ensure!(client.recv().await?["rpc"]["data"] == "well");
        Ok(())
    })
    .await?;
    line("a backend answers again").await?;
    assert_eq!(
        gateway
            .metrics()
            .await?
            .sum("natter_proxy_breaker_open")
            .to_bits(),
        0.0_f64.to_bits()
    );
    Ok(())
}

#[tokio::test]
async fn one_client_takes_few_of_the_places() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", RPC).await?;
    let mut client = connected(&gateway).await?;
    let calls: Vec<_> = (100..133).map(|id| rpc(id, "read")).collect();
    client.send_batch(&calls).await?;
    let mut asked = Vec::new();
    for _ in 100..132 {
        asked.push(backend.asked().await?);
    }
    let mut other = connected(&gateway).await?;
    other.send(&rpc(2, "read")).await?;
    backend.asked().await?.result(&json!({}))?;
    ensure!(other.recv_where(|value| value["id"] == 2).await?["error"].is_null());
    ensure!(!backend.is_asked(), "one too many");
    for asked in asked {
        asked.result(&json!({}))?;
    }
    for id in 100..132 {
        assert_eq!(client.recv().await?, json!({ "id": id, "rpc": {} }));
    }
    assert_eq!(client.recv().await?["error"]["code"], 111);
    // Its places are free again.
    client.send(&rpc(200, "read")).await?;
    backend.asked().await?.result(&json!({}))?;
    assert_eq!(client.recv().await?, json!({ "id": 200, "rpc": {} }));
    Ok(())
}

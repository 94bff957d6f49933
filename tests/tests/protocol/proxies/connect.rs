//! Connections that a backend judges.

use anyhow::{Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use super::beside;

const CONFIG: &str = "client: {connect_proxy: backend, rpc_proxy: backend, anonymous: deny}
rooms:
  default: {subscribe: users, publish: users}
";

async fn scene() -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let gateway = beside(&backend, ", include_connection_meta: true", CONFIG).await?;
    Ok((backend, gateway))
}

fn connect(request: &Value) -> Value {
    json!({ "id": 1, "connect": request })
}

#[tokio::test]
async fn a_connection_is_what_the_backend_says() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    // SDKs send all of it at once; the rest waits for the answer.
    client
        .send_batch(&[
            connect(&json!({ "name": "js", "version": "5", "data": { "ticket": 7 } })),
            json!({ "id": 2, "subscribe": { "channel": "own" } }),
            json!({ "id": 3, "rpc": { "method": "who" } }),
        ])
        .await?;
    let asked = backend.asked().await?;
    let mut body = asked.body.clone();
    let id = body.as_object_mut().and_then(|body| body.remove("client"));
    let expected = json!({
        "transport": "websocket", "protocol": "json", "encoding": "json", "name": "js", "version": "5",
        "data": { "ticket": 7 },
    });
    assert_eq!(body, expected);
    asked.result(&json!({
        "user": "ann", "info": { "name": "Ann" }, "data": { "hello": true }, "channels": ["news"],
        "subs": { "team": { "data": "welcome", "info": "captain" } }, "meta": { "shop": 3 },
    }))?;
    let reply = client.recv().await?;
    let result = &reply["connect"];
    ensure!(
        Some(&result["client"]) == id.as_ref() && result["data"] == json!({ "hello": true }),
        "{reply}"
    );
    assert_eq!(
        result["subs"],
        json!({ "news": {}, "team": { "data": "welcome" } })
    );
    let reply = client.recv().await?;
    ensure!(reply["id"] == 2 && reply.get("subscribe").is_some(), "{reply}");
    let asked = backend.asked().await?;
    ensure!(
        asked.body["user"] == "ann" && asked.body["meta"] == json!({ "shop": 3 }),
        "{}",
        asked.body
    );
    asked.result(&json!({}))?;
    ensure!(client.recv().await?["id"] == 3);
    client
        .send(&json!({ "id": 4, "publish": { "channel": "team", "data": 1 } }))
        .await?;
    let push = client.push().await?;
    let info = &push["pub"]["info"];
    ensure!(
        info["user"] == "ann"
            && info["conn_info"] == json!({ "name": "Ann" })
            && info["chan_info"] == "captain",
        "{push}"
    );
    // The user is known to the server API.
    let disconnect = json!({ "user": "ann", "disconnect": { "code": 4000, "reason": "bye" } });
    gateway.api("disconnect", &disconnect).await?;
    assert_eq!(client.close_frame().await?, (4000, "bye".to_owned()));
    Ok(())
}

#[tokio::test]
async fn refusals_end_the_connection() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    for (answer, reply, code) in [
        (
            json!({ "error": { "code": 1000, "message": "no" } }),
            Some(1000),
            3507,
        ),
        (
            json!({ "error": { "code": 1001, "message": "later", "temporary": true } }),
            Some(1001),
            3004,
        ),
        (
            json!({ "disconnect": { "code": 4501, "reason": "banned" } }),
            None,
            4501,
        ),
        // Nobody is let in whom nobody names.
        (json!({}), None, 3500),
        (
            json!({ "result": { "user": "ann", "expire_at": 1 } }),
            Some(110),
            3005,
        ),
        (
            json!({ "result": { "user": "ann", "channels": ["no:namespace"] } }),
            Some(102),
            3501,
        ),
        (json!([]), Some(100), 3004),
    ] {
        let mut client = Client::connect(&gateway.ws_url()).await?;
        client.send(&connect(&json!({}))).await?;
        backend.asked().await?.answer(&answer)?;
        if let Some(error) = reply {
            assert_eq!(client.recv().await?["error"]["code"], error, "{answer}");
        }
        assert_eq!(client.close_frame().await?.0, code, "{answer}");
    }
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&connect(&json!({ "token": "of nobody" }))).await?;
    assert_eq!(client.close_frame().await?.0, 3500);
    ensure!(!backend.is_asked());
    Ok(())
}

#[tokio::test]
async fn an_empty_user_is_anonymous_and_welcome() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&connect(&json!({}))).await?;
    backend.asked().await?.result(&json!({ "user": "" }))?;
    ensure!(client.recv().await?.get("connect").is_some());
    let reply = client
        .request(json!({ "subscribe": { "channel": "room" } }))
        .await?;
    ensure!(reply["error"]["code"] == 103, "{reply}");
    Ok(())
}

#[tokio::test]
async fn who_goes_away_before_the_answer_is_forgotten() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&connect(&json!({}))).await?;
    let asked = backend.asked().await?;
    drop(client);
    asked.given_up().await
}

#[tokio::test]
async fn who_says_too_much_before_the_answer_is_closed() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&connect(&json!({}))).await?;
    let asked = backend.asked().await?;
    // Frames without a command count as well.
    for _ in 0..8 * 1024 {
        client.send_text("").await?;
    }
    assert_eq!(client.close_frame().await?.0, 3501);
    asked.given_up().await
}

#[tokio::test]
async fn what_needs_no_second_try_from_a_client_is_tried_again() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&connect(&json!({}))).await?;
    let unavailable = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    backend.asked().await?.text(unavailable)?;
    backend.asked().await?.result(&json!({ "user": "ann" }))?;
    ensure!(client.recv().await?.get("connect").is_some());
    let labels = [("kind", "connect")];
    assert_eq!(
        gateway
            .metrics()
            .await?
            .value("natter_proxy_retries_total", &labels),
        Some(1.0)
    );
    Ok(())
}

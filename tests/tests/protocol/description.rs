//! The API against its own description at `/openapi.json`, by calls that schemathesis makes up, of rooms and users that there are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::python;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::scene::{LIMIT, Scene};

/// 1,500 calls of a gateway that was not optimised, on a busy machine.
const RUN: Duration = Duration::from_mins(3);

const CONFIG: &str = "client: {user_id_header: x-user, anonymous: allow}
rooms:
  default: {presence: true, history: {size: 5}}
  namespaces:
  - {name: bytes, payload: binary, presence: true, history: {size: 5}}
  - {name: passing, presence: true}
";

/// One of each namespace.
const ROOMS: [&str; 3] = ["here", "bytes:here", "passing:here"];

#[tokio::test]
async fn schemathesis_finds_no_answer_that_is_not_described() -> Result<()> {
    check("body").await
}

#[tokio::test]
async fn schemathesis_finds_nothing_accepted_that_is_not_described() -> Result<()> {
    check("status").await
}

async fn check(mode: &str) -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let mut users = JoinSet::new();
    let host = member(&scene.gateway).await?;
    users.spawn(listen(host));
    // This one is at the mercy of the calls, and comes back.
    let url = scene.gateway.ws_url();
    users.spawn(async move {
        loop {
            let Ok(guest) = connected(&url, "guest").await else {
                return;
            };
            listen(guest).await;
        }
    });
    let address = scene.gateway.http_url();
    let args = [[address.as_str(), mode, "guest"].as_slice(), &ROOMS].concat();
    let script = python::start("openapi/check.py", &args, &[])?;
    script.wait_success(RUN).await?;
    let seen = members(&scene.gateway, "here").await?;
    ensure!(seen.contains("\"host\""), "the host was put out: {seen}");
    users.shutdown().await;
    scene.untroubled().await
}

async fn connected(url: &str, user: &'static str) -> Result<Client> {
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("x-user", HeaderValue::from_static(user));
    let mut client = Client::open(request).await?;
    client.set_limit(RUN);
    let reply = client.request(json!({ "connect": {} })).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    Ok(client)
}

/// Answers pings until the end.
async fn listen(mut client: Client) {
    while client.recv().await.is_ok() {}
}

/// Somebody who stays in the rooms that are for clients of JSON, and of whom others are told all that can be told.
async fn member(gateway: &Gateway) -> Result<Client> {
    let mut client = connected(&gateway.ws_url(), "host").await?;
    let info = json!({ "user": "host", "info": { "name": "Host" } });
    gateway.api("refresh", &info).await?;
    for room in ROOMS.into_iter().filter(|room| *room != "bytes:here") {
        let request = json!({ "user": "host", "channel": room, "info": ["in", room] });
        gateway.api("subscribe", &request).await?;
        client
            .recv_where(|value| value["push"]["subscribe"].is_object())
            .await?;
        eventually("the host is there, with both infos", LIMIT, async || {
            let seen = members(gateway, room).await?;
            ensure!(seen.contains("conn_info") && seen.contains("chan_info"), "{seen}");
            Ok(())
        })
        .await?;
    }
    Ok(client)
}

async fn members(gateway: &Gateway, room: &str) -> Result<String> {
    let answer = gateway.api("presence", &json!({ "channel": room })).await?;
    let members = answer["result"].get("presence");
    Ok(members.with_context(|| answer.to_string())?.to_string())
}

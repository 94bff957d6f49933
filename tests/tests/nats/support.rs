//! What the modules of this suite share.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway, GatewayBuilder};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::users;

/// The bound of a single wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// First token of every subject.
pub(crate) const PREFIX: &str = "scenario";

/// A gateway on the NATS server with this URL, with short times; `more` is YAML for the end of the section `bus`.
pub(crate) fn builder(name: &str, nats: &str, more: &str) -> GatewayBuilder {
    let config = format!(
        "node_name: {name}
client: {{ user_id_header: x-user, anonymous: allow }}
api: {{ keys: [{API_KEY}] }}
drain: {{ accept: 0s, duration: 0s }}
bus:
  prefix: {PREFIX}
  linger: 200ms
  nats: {{ servers: ['{}'], ping_interval: 300ms }}
{more}",
        users::login(nats)
    );
    Gateway::builder().name(name).config(&config)
}

/// A gateway that is connected to its bus.
pub(crate) async fn gateway(name: &str, nats: String) -> Result<Gateway> {
    let gateway = builder(name, &nats, "").start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

/// Waits until the body of `/readyz` says so; gives the status that goes with it.
pub(crate) async fn wait_bus(gateway: &Gateway, state: &str) -> Result<u16> {
    gateway.wait_bus(state, LIMIT).await
}

pub(crate) async fn connect(gateway: &Gateway) -> Result<Client> {
    Ok(Client::connected(&gateway.ws_url(), json!({})).await?.0)
}

/// Asks for something that must succeed.
pub(crate) async fn done(client: &mut Client, command: Value) -> Result<Value> {
    let reply = client.request(command.clone()).await?;
    ensure!(reply.get("error").is_none(), "{command} was answered by {reply}");
    Ok(reply)
}

pub(crate) async fn subscribe(client: &mut Client, room: &str) -> Result<()> {
    done(client, json!({ "subscribe": { "channel": room } }))
        .await
        .map(drop)
}

pub(crate) async fn publish(client: &mut Client, room: &str, data: Value) -> Result<()> {
    done(client, json!({ "publish": { "channel": room, "data": data } }))
        .await
        .map(drop)
}

/// A connected member of a room.
pub(crate) async fn member(gateway: &Gateway, room: &str) -> Result<Client> {
    let mut client = connect(gateway).await?;
    subscribe(&mut client, room).await?;
    Ok(client)
}

/// The next publication must be this one.
pub(crate) async fn expect(client: &mut Client, room: &str, data: &Value) -> Result<()> {
    let push = client.push().await?;
    ensure!(
        push["channel"] == room && push["pub"]["data"] == *data,
        "{data} in {room} was due, {push} came"
    );
    Ok(())
}

/// An error of the protocol that a client may try again after.
pub(crate) fn is_temporary(reply: &Value) -> bool {
    reply["error"]["code"] == 100 && reply["error"]["temporary"] == true
}

pub(crate) async fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let value = gateway.metrics().await?.value(name, labels);
    value.with_context(|| format!("there is no {name} {labels:?}"))
}

/// Connects as a user that the proxy in front would vouch for.
pub(crate) async fn user(gateway: &Gateway, name: &str) -> Result<Client> {
    Ok(identified(gateway, name).await?.0)
}

/// As [`user`], with the id of the connection.
pub(crate) async fn identified(gateway: &Gateway, name: &str) -> Result<(Client, String)> {
    let mut request = gateway.ws_url().into_client_request()?;
    request
        .headers_mut()
        .insert("x-user", HeaderValue::from_str(name)?);
    let mut client = Client::open(request).await?;
    let reply = client.request(json!({ "connect": {} })).await?;
    let id = reply["connect"]["client"]
        .as_str()
        .with_context(|| reply.to_string())?;
    let id = id.to_owned();
    Ok((client, id))
}

/// Calls a method of the server API, which must succeed.
pub(crate) async fn call(gateway: &Gateway, method: &str, request: Value) -> Result<Value> {
    let mut answer = gateway.api(method, &request).await?;
    ensure!(
        answer.get("result").is_some(),
        "{method} {request} was answered by {answer}"
    );
    Ok(answer["result"].take())
}

/// The gateways that this one knows, by name.
pub(crate) async fn names(gateway: &Gateway) -> Result<Vec<String>> {
    let info = call(gateway, "info", json!({})).await?;
    let nodes = info["nodes"].as_array().context("no nodes")?;
    nodes
        .iter()
        .map(|node| node["name"].as_str().map(str::to_owned).context("no name"))
        .collect()
}

/// Waits until this gateway knows just these.
pub(crate) async fn wait_names(gateway: &Gateway, expected: &[&str], limit: Duration) -> Result<()> {
    eventually(&format!("{expected:?} are there"), limit, async || {
        let names = names(gateway).await?;
        ensure!(names == expected, "{names:?}");
        Ok(())
    })
    .await
}

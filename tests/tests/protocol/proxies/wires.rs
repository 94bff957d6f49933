//! Clients of every transport and encoding, and those that only listen: what a backend is told of them, and they of its answers.

mod front;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use natter_tests::backend::{Asked, Backend};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wire::{Encoding, Transport, Wire};
use reqwest::{Client as Http, Url};
use serde_json::{Value, json};

use super::beside;
use crate::streams::Stream;
use front::Front;

const CONFIG: &str = "client: {connect_proxy: backend, rpc_proxy: backend}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces: [{name: judged, subscribe: anyone, publish: anyone, subscribe_proxy: backend, publish_proxy: backend}]
";

const PAIRS: [(Transport, Encoding, &str, &str); 5] = [
    (Transport::WebSocket, Encoding::Json, "websocket", "json"),
    (Transport::WebSocket, Encoding::Protobuf, "websocket", "protobuf"),
    (Transport::Sse, Encoding::Json, "sse", "json"),
    (Transport::HttpStream, Encoding::Json, "http_stream", "json"),
    (
        Transport::HttpStream,
        Encoding::Protobuf,
        "http_stream",
        "protobuf",
    ),
];

async fn scene() -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let headers = ", http_headers: [Cookie], static_headers: ['X-Key: secret']";
    let gateway = beside(&backend, headers, CONFIG).await?;
    Ok((backend, gateway))
}

/// What every question says of the connection, and `more`.
fn told(transport: &str, protocol: &str, more: &Value) -> Value {
    let mut told = json!({ "transport": transport, "protocol": protocol, "encoding": "json" });
    for (name, value) in more.as_object().into_iter().flatten() {
        told[name] = value.clone();
    }
    told
}

/// The next question, which has to say this and nothing else; gives the client that it is about.
async fn expect(backend: &mut Backend, told: &Value) -> Result<(Asked, Value)> {
    let asked = backend.asked().await?;
    let mut body = asked.body.clone();
    let client = body.as_object_mut().and_then(|body| body.remove("client"));
    ensure!(body == *told, "{body} where {told} was due");
    let mut names: Vec<_> = asked.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let due = [
        "content-length",
        "content-type",
        "cookie",
        "host",
        "user-agent",
        "x-key",
    ];
    // What the client says later comes by other requests: their headers are no part of the connection's.
    ensure!(
        names == due && asked.headers["cookie"] == "a=1",
        "{:?}",
        asked.headers
    );
    Ok((asked, client.context("no client")?))
}

async fn judge(backend: &mut Backend, told: Value, answer: Value) -> Result<Value> {
    let (asked, client) = expect(backend, &told).await?;
    asked.result(&answer)?;
    Ok(client)
}

#[tokio::test]
async fn a_backend_judges_clients_of_every_transport_and_encoding() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    for (transport, encoding, carrier, protocol) in PAIRS {
        let front = Front::start(gateway.public()).await?;
        let pair = (front.address, transport, encoding);
        converse(&mut backend, pair, |more| told(carrier, protocol, &more))
            .await
            .with_context(|| format!("{transport:?} {encoding:?}"))?;
    }
    ensure!(!backend.is_asked());
    Ok(())
}

async fn converse(
    backend: &mut Backend,
    (gateway, transport, encoding): (SocketAddr, Transport, Encoding),
    told: impl Fn(Value) -> Value,
) -> Result<()> {
    let request = json!({ "name": "test", "version": "1", "data": { "ticket": 7 } });
    let answer = json!({ "user": "ann", "info": { "name": "Ann" }, "data": { "hello": [1, null] } });
    let ((mut wire, reply), client) = tokio::try_join!(
        Wire::connect(gateway, transport, encoding, request.clone()),
        judge(backend, told(request), answer)
    )?;
    let connected = &reply["connect"];
    ensure!(
        connected["client"] == client && connected["data"] == json!({ "hello": [1, null] }),
        "{reply}"
    );
    for (command, said, answer, due) in conversation() {
        let id = wire.next_id();
        let mut command = command.clone();
        command["id"] = id.into();
        wire.send(&[command.clone()]).await?;
        let who = judge(backend, told(said), answer).await?;
        let mut due = due.clone();
        due["id"] = id.into();
        let reply = wire.recv_where(|value| value["id"] == id).await?;
        ensure!(who == client && reply == due, "{command}: {reply}");
    }
    let push = wire.recv_where(|value| value.get("push").is_some()).await?;
    let info =
        json!({ "user": "ann", "client": client, "conn_info": { "name": "Ann" }, "chan_info": ["guest"] });
    let publication = json!({ "data": { "changed": true }, "info": info });
    let due = json!({ "push": { "channel": "judged:room", "pub": publication } });
    ensure!(push == due, "{push}");
    Ok(())
}

/// Commands, what the backend is told of them, its answers, and the replies.
fn conversation() -> [(Value, Value, Value, Value); 3] {
    [
        (
            json!({ "subscribe": { "channel": "judged:room", "data": { "key": 1 }, "token": "own" } }),
            json!({ "user": "ann", "channel": "judged:room", "data": { "key": 1 }, "token": "own" }),
            json!({ "data": { "welcome": true }, "info": ["guest"] }),
            json!({ "subscribe": { "data": { "welcome": true } } }),
        ),
        (
            json!({ "publish": { "channel": "judged:room", "data": "raw" } }),
            json!({ "user": "ann", "channel": "judged:room", "data": "raw" }),
            json!({ "data": { "changed": true } }),
            json!({ "publish": {} }),
        ),
        (
            json!({ "rpc": { "method": "who", "data": [1] } }),
            json!({ "user": "ann", "method": "who", "data": [1] }),
            json!({ "data": { "answer": [1, null] } }),
            json!({ "rpc": { "data": { "answer": [1, null] } } }),
        ),
    ]
}

#[tokio::test]
async fn a_backend_judges_clients_that_only_listen() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    for transport in ["uni_websocket", "uni_sse", "uni_http_stream"] {
        let front = Front::start(gateway.public()).await?;
        // Rooms whose joins a backend judges are not joined by the request.
        let subs = json!({ "free": {}, "judged:room": {} });
        let request = json!({ "name": "curl", "data": { "ticket": 7 }, "subs": subs });
        let more = json!({ "name": "curl", "data": { "ticket": 7 }, "channels": ["free", "judged:room"] });
        let answer = json!({ "user": "ann", "data": { "hello": true }, "channels": ["news"] });
        let (push, client) = tokio::try_join!(
            first_push(front.address, transport, &request),
            judge(&mut backend, told(transport, "json", &more), answer)
        )
        .context(transport)?;
        let connected = &push["connect"];
        ensure!(
            connected["client"] == client
                && connected["data"] == json!({ "hello": true })
                && connected["subs"] == json!({ "free": {}, "news": {} }),
            "{transport}: {push}"
        );
    }
    ensure!(!backend.is_asked());
    Ok(())
}

/// What a client that only listens is told first.
async fn first_push(gateway: SocketAddr, transport: &str, request: &Value) -> Result<Value> {
    let url = format!("http://{gateway}/connection/{transport}");
    if transport == "uni_websocket" {
        let mut client = Client::connect(&url.replacen("http", "ws", 1)).await?;
        client.send(request).await?;
        return client.recv().await;
    }
    let http = Http::builder().no_proxy().build()?;
    let asked = if transport == "uni_sse" {
        let query = [("cf_connect", request.to_string())];
        http.get(Url::parse_with_params(&url, query)?)
    } else {
        http.post(url).body(request.to_string())
    };
    Stream::open(asked).await?.message().await
}

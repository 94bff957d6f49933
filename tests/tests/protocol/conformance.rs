//! Every command over every transport in every encoding: the reply is the same, and so is the push. docs/conformance.md
//! shows which test stands behind which cell.

mod names;
mod served;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::wire::{Encoding, Transport, Wire, canonical};
use serde_json::{Value, json};

use self::names::Names;
use self::served::is_served;
use crate::scene::gateway;

const CONFIG: &str = "client: {ping_interval: 2s, pong_timeout: 1500ms}
rooms: {namespaces: [{name: kept, subscribe: anyone, publish: anyone, presence: true, history: {size: 10, ttl: 1h, read: anyone}}]}\n";

#[tokio::test]
async fn websocket_json() -> Result<()> {
    converse(Transport::WebSocket, Encoding::Json).await?;
    is_served(Transport::WebSocket, Encoding::Json).await
}

#[tokio::test]
async fn websocket_protobuf() -> Result<()> {
    converse(Transport::WebSocket, Encoding::Protobuf).await?;
    is_served(Transport::WebSocket, Encoding::Protobuf).await
}

#[tokio::test]
async fn sse_json() -> Result<()> {
    converse(Transport::Sse, Encoding::Json).await?;
    is_served(Transport::Sse, Encoding::Json).await
}

#[tokio::test]
async fn http_stream_json() -> Result<()> {
    converse(Transport::HttpStream, Encoding::Json).await?;
    is_served(Transport::HttpStream, Encoding::Json).await
}

#[tokio::test]
async fn http_stream_protobuf() -> Result<()> {
    converse(Transport::HttpStream, Encoding::Protobuf).await?;
    is_served(Transport::HttpStream, Encoding::Protobuf).await
}

/// Commands in the order in which they are sent, and what each is answered by. Ids, the epoch and the like are masked.
fn conversation() -> Vec<(Value, Value)> {
    let error = |code: u32, message: &str| json!({ "error": { "code": code, "message": message } });
    let not_available = || error(108, "not available");
    let publication = || json!({ "data": said(), "info": { "client": "CLIENT" }, "offset": 1 });
    let kept = json!({ "channel": "kept:a" });
    let join = json!({ "channel": "kept:a", "positioned": true, "recoverable": true });
    let joined = json!({ "positioned": true, "recoverable": true, "epoch": "EPOCH" });
    vec![
        (json!({ "subscribe": join }), json!({ "subscribe": joined })),
        (json!({ "subscribe": join }), error(105, "already subscribed")),
        (
            json!({ "subscribe": { "channel": "nowhere:a" } }),
            error(102, "unknown channel"),
        ),
        (
            json!({ "publish": { "channel": "kept:a", "data": said() } }),
            json!({ "publish": {} }),
        ),
        (
            json!({ "publish": { "channel": "nowhere:a", "data": 1 } }),
            error(102, "unknown channel"),
        ),
        (
            json!({ "history": { "channel": "kept:a", "limit": 10 } }),
            json!({ "history": { "publications": [publication()], "epoch": "EPOCH", "offset": 1 } }),
        ),
        (
            json!({ "history": { "channel": "kept:a", "limit": -1, "since": { "offset": 1, "epoch": "" } } }),
            json!({ "history": { "epoch": "EPOCH", "offset": 1 } }),
        ),
        (
            json!({ "history": { "channel": "kept:a", "limit": 1, "since": { "offset": 1, "epoch": "other" } } }),
            error(112, "unrecoverable position"),
        ),
        (
            json!({ "presence": kept }),
            json!({ "presence": { "presence": { "CLIENT": { "client": "CLIENT" } } } }),
        ),
        (
            json!({ "presence_stats": kept }),
            json!({ "presence_stats": { "num_clients": 1, "num_users": 1 } }),
        ),
        (json!({ "presence": { "channel": "a" } }), not_available()),
        (json!({ "presence_stats": { "channel": "a" } }), not_available()),
        (
            json!({ "rpc": { "method": "m", "data": { "a": 1 } } }),
            not_available(),
        ),
        (
            json!({ "sub_refresh": { "channel": "kept:a" } }),
            error(107, "bad request"),
        ),
        (
            json!({ "sub_refresh": { "channel": "kept:b", "token": "t" } }),
            error(103, "permission denied"),
        ),
        (json!({ "unsubscribe": kept }), json!({ "unsubscribe": {} })),
        (json!({ "unsubscribe": kept }), json!({ "unsubscribe": {} })),
    ]
}

fn said() -> Value {
    json!({ "text": "zwölf 🦊", "list": [1, null, -2.5] })
}

async fn converse(transport: Transport, encoding: Encoding) -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let (mut wire, reply) = connect(&gateway, transport, encoding).await?;
    let mut names = Names::of(&reply);
    let connected = if transport == Transport::WebSocket {
        json!({ "client": "CLIENT", "version": "VERSION", "ping": 2, "pong": true })
    } else {
        json!({ "client": "CLIENT", "version": "VERSION", "ping": 2, "session": "SESSION", "node": "NODE" })
    };
    names.expect(&reply, &json!({ "id": 1, "connect": connected }))?;

    for (command, mut expected) in conversation() {
        let reply = wire.request(command.clone()).await?;
        names.learn("EPOCH", &reply["subscribe"]["epoch"]);
        expected["id"] = reply["id"].clone();
        names
            .expect(&reply, &expected)
            .with_context(|| command.to_string())?;
    }
    let push = wire.recv_where(|value| value.get("push").is_some()).await?;
    let publication = json!({ "data": said(), "info": { "client": "CLIENT" }, "offset": 1 });
    names.expect(
        &push,
        &json!({ "push": { "channel": "kept:a", "pub": publication } }),
    )?;

    batch(&mut wire).await.context("a batch")?;
    wire.pinged(3).await?; // two of them were answered where an answer is due, or this were the end
    batch(&mut wire).await.context("after pings")?;

    names
        .ends(wire, json!({ "send": { "data": 1 } }), 3508, "not available")
        .await?;
    let (wire, _) = connect(&gateway, transport, encoding).await?;
    let refresh = json!({ "id": 2, "refresh": { "token": "t" } });
    names.ends(wire, refresh, 3500, "invalid token").await?;
    let (wire, _) = connect(&gateway, transport, encoding).await?;
    names
        .ends(wire, json!({ "id": 2, "ping": {} }), 3501, "bad request")
        .await
}

async fn connect(gateway: &Gateway, transport: Transport, encoding: Encoding) -> Result<(Wire, Value)> {
    Wire::connect(
        gateway.public(),
        transport,
        encoding,
        json!({ "name": "conformance" }),
    )
    .await
}

/// Commands that come together are answered in their order.
async fn batch(wire: &mut Wire) -> Result<()> {
    let channel = json!({ "channel": "a" });
    let ids = [wire.next_id(), wire.next_id(), wire.next_id()];
    wire.send(&[
        json!({ "id": ids[0], "subscribe": channel }),
        json!({ "id": ids[1], "publish": { "channel": "a", "data": "together" } }),
        json!({ "id": ids[2], "unsubscribe": channel }),
    ])
    .await?;
    for (id, kind) in ids.into_iter().zip(["subscribe", "publish", "unsubscribe"]) {
        let reply = wire.recv_where(|value| value.get("id").is_some()).await?;
        ensure!(canonical(&reply)? == json!({ "id": id, kind: {} }), "{reply}");
    }
    Ok(())
}

//! Two backends, each of which is asked about what names it and about nothing else.

use anyhow::{Context, Result, ensure};
use natter_tests::backend::{Asked, Backend};
use serde_json::{Value, json};

use crate::scene::{connected, gateway};

const CONFIG: &str = "client: {rpc_proxy: second}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: one, subscribe: anyone, publish: anyone, subscribe_proxy: first, publish_proxy: first}
  - {name: two, subscribe: anyone, publish: anyone, subscribe_proxy: second, publish_proxy: second}
  - {name: both, subscribe: anyone, publish: anyone, subscribe_proxy: second, publish_proxy: first}
";

/// The next question to one of them, in whose name it has to be asked; the other one is asked nothing.
async fn only(asked: &mut Backend, other: &Backend, name: &str) -> Result<Asked> {
    let question = asked.asked().await.context("the one that was named")?;
    ensure!(question.headers["x-key"] == name, "{:?}", question.headers);
    ensure!(!other.is_asked(), "the other backend was asked as well");
    Ok(question)
}

#[tokio::test]
async fn every_namespace_asks_the_backend_that_it_names() -> Result<()> {
    let (mut first, mut second) = (Backend::start().await?, Backend::start().await?);
    let proxies = [
        first.proxy("first", ", static_headers: ['X-Key: first']"),
        second.proxy("second", ", static_headers: ['X-Key: second']"),
    ];
    let gateway = gateway(&format!("proxies: [{}]\n{CONFIG}", proxies.join(", "))).await?;
    let mut client = connected(&gateway).await?;
    let subscribe = |room: &str| json!({ "id": 50, "subscribe": { "channel": room } });
    let publish = |room: &str| json!({ "id": 50, "publish": { "channel": room, "data": 1 } });
    for (command, is_first) in [
        (subscribe("one:a"), true),
        (publish("one:a"), true),
        (subscribe("two:a"), false),
        (publish("two:a"), false),
        (subscribe("both:a"), false),
        (publish("both:a"), true),
        (json!({ "id": 50, "rpc": { "method": "m" } }), false),
    ] {
        client.send(&command).await?;
        let asked = if is_first {
            only(&mut first, &second, "first").await
        } else {
            only(&mut second, &first, "second").await
        };
        let answer = json!({ "error": { "code": if is_first { 1001 } else { 1002 }, "message": "no" } });
        asked.with_context(|| command.to_string())?.answer(&answer)?;
        let reply = client.recv().await?;
        ensure!(reply["error"] == answer["error"], "{command}: {reply}");
    }
    for room in ["a", "b"] {
        let commands: [Value; 2] = [subscribe(room), publish(room)];
        for command in commands {
            client.send(&command).await?;
            let reply = client.recv_where(|value| value["id"] == 50).await?;
            ensure!(reply.get("error").is_none(), "{command}: {reply}");
        }
    }
    ensure!(!first.is_asked() && !second.is_asked(), "nobody names them");
    Ok(())
}

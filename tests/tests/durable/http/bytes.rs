//! `b64data` on `/v1`: what is stored, compared with repeats and listed are the bytes that it stands for.

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::gateway::Gateway;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Backend, CONFIG, over_nats};

impl Backend {
    async fn post_body(&self, room: &str, key: Option<&str>, body: Value) -> Result<Answer> {
        self.ask(Method::POST, room, "", key, body).await
    }

    /// What of its messages a room keeps, page by page of two.
    async fn pages(&self, room: &str) -> Result<Vec<Value>> {
        let (mut query, mut all) = ("?limit=2".to_owned(), Vec::new());
        loop {
            let answer = self.list(room, &query).await?;
            ensure!(answer.status == 200, "{}", answer.body);
            let messages = answer.body["messages"].as_array().context("messages")?;
            all.extend(messages.iter().cloned());
            match answer.body["next"].as_str() {
                Some(next) => query = format!("?limit=2&cursor={next}"),
                None => return Ok(all),
            }
        }
    }
}

fn base64(bytes: &[u8]) -> Value {
    json!({ "b64data": BASE64_STANDARD.encode(bytes) })
}

/// Every byte there is.
fn bytes() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

#[tokio::test]
async fn embedded_takes_base64() -> Result<()> {
    let gateway = Gateway::builder().config(CONFIG).start().await?;
    let backend = Backend::of(&gateway).await?;
    takes_texts(&backend).await?;
    takes_bytes(&gateway, &backend).await
}

#[tokio::test]
async fn nats_takes_base64() -> Result<()> {
    let (_nats, gateway, backend) = over_nats().await?;
    takes_texts(&backend).await?;
    takes_bytes(&gateway, &backend).await
}

/// In a room of JSON texts.
async fn takes_texts(backend: &Backend) -> Result<()> {
    let room = "kept:texts";
    for refused in [
        base64(&bytes()),
        base64(b"not JSON"),
        base64(b""),
        json!({ "b64data": "not base64!" }),
        json!({ "b64data": null }),
        json!({ "b64data": "MQ==", "data": 1 }),
        json!({ "b64data": 1 }),
    ] {
        let answer = backend.post_body(room, None, refused.clone()).await?;
        ensure!(
            answer.status == 400 && answer.body["error"]["code"] == 107,
            "{refused}: {} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(backend.pages(room).await?.is_empty(), "what was refused is kept");

    let stored = backend
        .post_body(room, Some("one"), base64(b"{\n\"a\": 1}"))
        .await?;
    assert_eq!(stored.status, 201, "{}", stored.body);
    // What it stands for is the same in either form.
    let again = backend.post_body(room, Some("two"), base64(b"{\"b\":2}")).await?;
    assert_eq!(again.status, 201, "{}", again.body);
    let repeated = backend.post(room, Some("two"), json!({ "b": 2 })).await?;
    assert_eq!((repeated.status, &repeated.body), (200, &again.body));
    let kept = backend.all(room, "asc").await?;
    assert_eq!(kept, [json!({ "a": 1 }), json!({ "b": 2 })]);
    Ok(())
}

/// In a room of bytes.
async fn takes_bytes(gateway: &Gateway, backend: &Backend) -> Result<()> {
    let room = "bytes:room";
    let all = base64(&bytes());
    let mut tagged = all.clone();
    tagged["tags"] = json!({ "kind": "all" });
    let first = backend.post_body(room, Some("all"), tagged).await?;
    assert_eq!(first.status, 201, "{}", first.body);
    let repeated = backend.post_body(room, Some("all"), all.clone()).await?;
    assert_eq!((repeated.status, &repeated.body), (200, &first.body));
    let reused = backend.post_body(room, Some("all"), base64(b"\xff")).await?;
    assert_eq!((reused.status, &reused.body["error"]["code"]), (409, &json!(107)));
    let lines = b"[1,\n2]";
    let kept = backend.post_body(room, None, base64(lines)).await?;
    assert_eq!(kept.status, 201, "{}", kept.body);
    // A backend that has only JSON to say.
    let text = backend.post(room, None, json!({ "a": 1 })).await?;
    assert_eq!(text.status, 201, "{}", text.body);

    let at = |mut message: Value, answer: &Answer| {
        message["offset"] = answer.body["offset"].clone();
        message
    };
    let mut messages = [
        at(all, &first),
        at(base64(lines), &kept),
        at(base64(b"{\"a\":1}"), &text),
    ];
    messages[0]["tags"] = json!({ "kind": "all" });
    assert_eq!(backend.pages(room).await?, messages);
    let request = json!({ "channel": room, "limit": 10 });
    let history = gateway.api("history", &request).await?;
    assert_eq!(history["result"]["publications"], json!(messages));
    Ok(())
}

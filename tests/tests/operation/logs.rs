//! Log lines: what machines and people get, and how lines belong together.

use std::process::Command;

use anyhow::{Context, Result};
use natter_tests::client::Client;
use natter_tests::gateway::{Gateway, LogLine};
use natter_tests::process::Process;
use natter_tests::tools;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::LIMIT;

fn text<'a>(line: &'a LogLine, field: &str) -> Option<&'a str> {
    line.field(field).and_then(Value::as_str)
}

#[tokio::test]
async fn json_lines_carry_the_ids_of_connection_and_message() -> Result<()> {
    let gateway = Gateway::builder().config("log: { level: debug }").start().await?;
    let (mut client, greeting) = Client::connected(&gateway.ws_url(), json!({})).await?;
    client
        .request(json!({ "subscribe": { "channel": "lobby" } }))
        .await?;
    client
        .request(json!({ "publish": { "channel": "lobby", "data": 1 } }))
        .await?;
    client.push().await?;
    client.close().await?;

    let of_client = |said: &'static str| {
        let id = greeting["client"].clone();
        move |line: &LogLine| line.message() == said && line.field("connection") == Some(&id)
    };
    gateway.wait_log(of_client("opened"), LIMIT).await?;
    gateway.wait_log(of_client("closed"), LIMIT).await?;
    let published = gateway
        .wait_log(|line| line.message() == "publication", LIMIT)
        .await?;
    let id = text(&published, "message_id").context("the message has no id")?;
    assert_eq!(id.len(), 16, "{id}");
    assert_eq!(text(&published, "channel"), Some("lobby"));
    gateway
        .wait_log(
            |line| line.message() == "delivery" && text(line, "message_id") == Some(id),
            LIMIT,
        )
        .await?;
    for line in gateway.logs() {
        let object: Value = serde_json::from_str(&line.text).with_context(|| line.text.clone())?;
        for field in ["timestamp", "level", "target", "message"] {
            assert!(object[field].is_string(), "{field} of {}", line.text);
        }
        assert_eq!(line.text.matches("\"message\":").count(), 1, "{}", line.text);
    }
    Ok(())
}

#[tokio::test]
async fn pretty_lines_are_text_without_colours_when_nobody_watches() -> Result<()> {
    let mut command = Command::new(tools::gateway().await?);
    command
        .env_clear()
        .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let process = Process::spawn("gateway", &mut command)?;
    let listening = |line: &str| line.contains("listening").then(|| line.to_owned());
    let (_, line) = process.stderr().wait(0, LIMIT, listening).await?;
    assert!(
        line.contains(" INFO ") && line.contains("public=127.0.0.1:"),
        "{line}"
    );
    process.signal(Signal::INT)?;
    assert!(process.wait_exit(LIMIT).await?.success());
    for line in process.stderr().all() {
        assert!(!line.contains('\u{1b}') && !line.starts_with('{'), "{line}");
    }
    Ok(())
}

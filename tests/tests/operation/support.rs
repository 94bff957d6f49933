//! What the modules of this suite share.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

/// The bound of a single wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A connected client in `room`.
pub(crate) async fn member(gateway: &Gateway, room: &str) -> Result<Client> {
    let (mut client, _) = Client::connected(&gateway.ws_url(), json!({})).await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": room } }))
        .await?;
    ensure!(
        reply.get("subscribe").is_some(),
        "subscribe was answered by {reply}"
    );
    Ok(client)
}

/// The error code of a reply; 0 when it is none.
pub(crate) fn error_code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_default()
}

/// Publishes by the server API.
pub(crate) async fn publish(gateway: &Gateway, room: &str, data: &Value) -> Result<()> {
    let answer = gateway
        .api("publish", &json!({ "channel": room, "data": data }))
        .await?;
    ensure!(answer.get("result").is_some(), "publish was answered by {answer}");
    Ok(())
}

/// The value of a series that must be there.
pub(crate) async fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let value = gateway.metrics().await?.value(name, labels);
    value.with_context(|| format!("there is no {name} {labels:?}"))
}

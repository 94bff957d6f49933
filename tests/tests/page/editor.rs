//! docs/examples/editor: one text in several tabs, one of which is cut off and comes back.

use std::time::Duration;

use anyhow::{Context, Result};
use natter_tests::gateway::Gateway;
use natter_tests::node;
use natter_tests::proxy::Proxy;
use serde_json::{Value, json};

/// From the start of Chromium, on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

const CONFIG: &str = include_str!("../../../docs/examples/editor/gateway.yaml");

#[tokio::test]
async fn one_text_is_the_same_in_every_tab_after_a_cut() -> Result<()> {
    let page = node::start_page("page/editor.mjs", &[], &[])?;
    let next = async |event: &str| {
        let fits = |line: &Value| line["event"] == event || line["event"] == "failed";
        let line = page.expect_json(fits, LIMIT).await?;
        anyhow::ensure!(line["event"] == event, "{line}");
        anyhow::Ok(line)
    };
    let origin = next("serving").await?["origin"].clone();
    let origin = origin.as_str().context("no origin")?;
    let config = CONFIG.replace("http://127.0.0.1:8080", origin);
    let gateway = Gateway::builder().config(&config).start().await?;
    let proxy = Proxy::start(gateway.public()).await?;
    let through_proxy = format!("ws://{}/connection/websocket", proxy.address());
    page.send_line(&json!({ "direct": gateway.ws_url(), "cut": through_proxy }).to_string())?;

    next("together").await?;
    proxy.cut();
    page.send_line("cut")?;
    next("apart").await?;
    proxy.resume();
    page.send_line("back")?;
    next("equal").await?;
    page.wait_success(LIMIT).await
}

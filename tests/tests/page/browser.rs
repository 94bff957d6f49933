//! What a person sees. Screenshots of every run are in `tests/artifacts/page/`.

use std::time::Duration;

use anyhow::Result;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::node;

/// From the start of Chromium, on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// For every further step of a script.
const STEP_LIMIT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn two_tabs_chat_across_a_restart_of_the_gateway() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    let page = node::start_page("page/chat.mjs", &[], &[("NATTER_URL", &gateway.http_url())])?;
    page.expect_line(|line| line == "connected", START_LIMIT).await?;
    page.expect_line(|line| line == "exchanged", STEP_LIMIT).await?;
    page.expect_line(|line| line == "ready-for-restart", STEP_LIMIT)
        .await?;
    gateway.kill()?;
    page.expect_line(|line| line == "reconnecting", STEP_LIMIT)
        .await?;
    gateway.restart_same_port().await?;
    page.send_line("the gateway is back")?;
    page.expect_line(|line| line == "reconnected", STEP_LIMIT).await?;
    page.wait_success(STEP_LIMIT).await
}

#[tokio::test]
async fn odd_messages_and_rooms_are_shown_for_what_they_are() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!(
            "api: {{ keys: [{API_KEY}] }}\nrooms: {{ namespaces: [{{ name: news, subscribe: anyone, publish: server }}] }}"
        ))
        .start()
        .await?;
    let env = [
        ("NATTER_URL", gateway.http_url()),
        ("NATTER_API_KEY", API_KEY.to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = node::start_page("page/oddities.mjs", &[], &env)?;
    page.wait_success(START_LIMIT + STEP_LIMIT).await
}

#[tokio::test]
async fn an_event_source_listens_and_comes_back() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!("api: {{ keys: [{API_KEY}] }}"))
        .start()
        .await?;
    let env = [
        ("NATTER_URL", gateway.http_url()),
        ("NATTER_API_KEY", API_KEY.to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = node::start_page("page/listen.mjs", &[], &env)?;
    page.wait_success(START_LIMIT + STEP_LIMIT).await
}

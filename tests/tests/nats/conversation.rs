//! The SDK's clients talk across two gateways, and NATS says what that costs it.

use anyhow::{Result, ensure};
use natter_tests::nats::NatsServer;
use natter_tests::node;
use natter_tests::wait::eventually;

use crate::support::{LIMIT, PREFIX, gateway};
use crate::users;

#[tokio::test]
async fn a_thousand_messages_come_once_and_in_order_to_everybody() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let urls = format!("{},{}", a.ws_url(), b.ws_url());
    let script = node::start(
        "sdk/conversation.mjs",
        &[],
        &[("NATTER_URLS", &urls), ("NATTER_MESSAGES", "1000")],
    )?;
    script
        .expect_json(|line| line["event"] == "subscribed", LIMIT)
        .await?;
    one_subscription_each(&nats).await?;

    script.send_line("go")?;
    script
        .expect_json(|line| line["event"] == "received", 3 * LIMIT)
        .await?;
    one_subscription_each(&nats).await?;

    script.send_line("leave")?;
    script.expect_json(|line| line["event"] == "left", LIMIT).await?;
    eventually("NATS has no room left", LIMIT, async || {
        let left = nats.subscriptions(&format!("{PREFIX}.eph.")).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    let summary = script
        .expect_json(|line| line["event"] == "summary", LIMIT)
        .await?;
    ensure!(summary["ok"] == true, "{summary}");
    script.wait_success(LIMIT).await
}

/// Four members, two gateways, one room: two subscriptions.
async fn one_subscription_each(nats: &NatsServer) -> Result<()> {
    let found = nats.subscriptions(&format!("{PREFIX}.eph.")).await?;
    let subjects: Vec<_> = found.iter().map(|found| found.subject.as_str()).collect();
    let room = format!("{PREFIX}.eph.0.conversation");
    ensure!(subjects == [&room, &room], "{found:?}");
    ensure!(found[0].cid != found[1].cid, "one gateway has both: {found:?}");
    Ok(())
}

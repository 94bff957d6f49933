//! centrifuge-js: the official client recovers by itself and reads what is kept.

use std::time::Duration;

use anyhow::{Context, Result};
use natter_tests::node;

use crate::support::{World, on_both_buses};

on_both_buses!(
    the_official_client_recovers,
    the_official_client_takes_every_answer
);

async fn the_official_client_recovers(world: &World) -> Result<()> {
    succeeds(world, "sdk/recovery.mjs").await
}

async fn the_official_client_takes_every_answer(world: &World) -> Result<()> {
    succeeds(world, "sdk/history.mjs").await
}

async fn succeeds(world: &World, script: &str) -> Result<()> {
    let url = world.gateway.ws_url();
    let script = node::start(script, &[], &[("NATTER_URLS", url.as_str())])?;
    let summary = script
        .expect_json(
            |line| line["event"] == "summary" || line["event"] == "failed",
            Duration::from_secs(40),
        )
        .await?;
    script
        .wait_success(Duration::from_secs(5))
        .await
        .with_context(|| format!("{summary}"))
}

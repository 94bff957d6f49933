//! centrifuge-js: the official client recovers by itself.

use std::time::Duration;

use anyhow::{Context, Result};
use natter_tests::node;

use crate::support::{World, on_both_buses};

on_both_buses!(the_official_client_recovers);

async fn the_official_client_recovers(world: &World) -> Result<()> {
    let url = world.gateway.ws_url();
    let script = node::start("sdk/recovery.mjs", &[], &[("NATTER_URLS", url.as_str())])?;
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

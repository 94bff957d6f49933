//! Of two operators one works. The lease is given back on SIGTERM, and runs out when nobody gives it back.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::kubernetes::Operator;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{LIMIT, Scenario};

/// Seconds for which a lease that is not given back keeps the others waiting.
const LEASE: Duration = Duration::from_secs(15);

async fn leads(operator: &Operator) -> Result<bool> {
    Ok(operator.metrics().await?.sum("natter_operator_leader") > 0.5)
}

async fn wait_leads(operator: &Operator) -> Result<()> {
    eventually("the operator leads", LIMIT, async || {
        ensure!(leads(operator).await?, "it waits");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_next_one_takes_over_at_once_when_the_lease_is_given_back() -> Result<()> {
    let scenario = Scenario::start().await?;
    let first = scenario.operator().await?;
    wait_leads(&first).await?;
    let second = scenario.operator().await?;
    scenario.apply("before", json!({})).await?;
    scenario.objects().deployment("before").await?;
    ensure!(!leads(&second).await?, "two operators lead");
    ensure!(second.get("/readyz").await?.0 == 200, "one that waits is ready");

    let asked = Instant::now();
    first.terminate()?;
    let status = first.wait_exit(LEASE).await?;
    ensure!(status.success(), "{status}");
    wait_leads(&second).await?;
    let taken = asked.elapsed();
    ensure!(taken < LEASE, "it took {taken:?}: the lease was not given back");
    scenario.apply("after", json!({})).await?;
    scenario.objects().deployment("after").await.map(drop)
}

#[tokio::test]
async fn the_next_one_takes_over_from_one_that_was_killed() -> Result<()> {
    let scenario = Scenario::start().await?;
    let first = scenario.operator().await?;
    wait_leads(&first).await?;
    let second = scenario.operator().await?;
    first.kill()?;
    scenario.apply("chat", json!({})).await?;
    wait_leads(&second).await?;
    scenario.objects().deployment("chat").await.map(drop)
}

//! The API against its own description at `/openapi.json`, by calls that schemathesis makes up.

use std::time::Duration;

use anyhow::Result;
use natter_tests::python;

use crate::scene::Scene;

/// 1,500 calls of a gateway that was not optimised, on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn schemathesis_finds_no_answer_that_is_not_described() -> Result<()> {
    check("body").await
}

#[tokio::test]
async fn schemathesis_finds_nothing_accepted_that_is_not_described() -> Result<()> {
    check("status").await
}

async fn check(mode: &str) -> Result<()> {
    let scene = Scene::open("rooms: {default: {history: {size: 5}}}").await?;
    let script = python::start("openapi/check.py", &[&scene.gateway.http_url(), mode], &[])?;
    script.wait_success(LIMIT).await?;
    scene.untroubled().await
}

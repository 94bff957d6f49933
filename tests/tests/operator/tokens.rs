//! The Secret with the tokens of control calls: made, the same for every operator, put right when gateways refuse, and gone
//! with its cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use natter_operator::build::TOKEN_FILE;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

const SECRET: &str = "chat-gateway-control";
/// Refusals count once a minute.
const AGAIN: Duration = Duration::from_mins(1);

async fn tokens(secrets: &Api<Secret>) -> Result<Vec<String>> {
    let secret = secrets.get_opt(SECRET).await?.context("no Secret")?;
    let file = secret.data.unwrap_or_default().remove(TOKEN_FILE);
    let text = String::from_utf8(file.context("the Secret has no tokens")?.0)?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn tokens_are_made_kept_and_put_right() -> Result<()> {
    let scenario = Scenario::start().await?;
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let first = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    let made = eventually("the tokens are there", LIMIT, async || tokens(&secrets).await).await?;
    ensure!(
        made.len() == 3 && made.iter().all(|token| token.len() == 64),
        "{} tokens",
        made.len()
    );
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;

    first.terminate()?;
    first.wait_exit(LIMIT).await?;
    let _second = scenario.operator().await?;
    let forged = json!({"stringData": {TOKEN_FILE: "of somebody else\n"}});
    secrets
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(forged))
        .await?;
    eventually(
        "what the gateways refuse is put right",
        LIMIT + AGAIN,
        async || {
            let now = tokens(&secrets).await?;
            ensure!(now == made, "{} other tokens", now.len());
            anyhow::Ok(())
        },
    )
    .await?;

    scenario.delete("chat").await?;
    eventually("the tokens go with the cluster", LIMIT, async || {
        ensure!(secrets.get_opt(SECRET).await?.is_none(), "still there");
        anyhow::Ok(())
    })
    .await
}

//! The Secret with the tokens of control calls: made, the same for every operator, put right when gateways refuse, and gone
//! with its cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use natter_operator::build::TOKEN_FILE;
use natter_operator::kinds::Kind;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

const SECRET: &str = "chat-gateway-control";
/// Refusals count once in this time.
const AGAIN: Duration = Duration::from_secs(10);

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

#[tokio::test]
async fn a_new_gateway_finds_tokens_that_were_deleted() -> Result<()> {
    let scenario = Scenario::start().await?;
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let made = tokens(&secrets).await?;

    secrets.delete(SECRET, &DeleteParams::default()).await?;
    // What a kubelet does where the Secret is not there.
    kubelet.hold("chat-gateway", "ContainerCreating", "secret not found");
    let more = json!({"spec": {"gateways": {"replicas": 3, "config": {"client": {"anonymous": "allow"}}}}});
    scenario.apply("chat", more).await?;
    eventually("the tokens are there again", LIMIT, async || {
        ensure!(tokens(&secrets).await? == made, "other tokens");
        anyhow::Ok(())
    })
    .await?;
    kubelet.release().await?;
    scenario
        .condition("chat", ("Ready", "True", "AllReady"))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone() -> Result<()> {
    let scenario = Scenario::start().await?;
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let theirs = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        string_data: Some([("password".to_owned(), "theirs".to_owned())].into()),
        ..Secret::default()
    };
    let theirs = secrets.create(&PostParams::default(), &theirs).await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", json!({})).await?;
    let message = scenario.condition("chat", ("Stalled", "True", "NotOurs")).await?;
    ensure!(message.contains(&format!("Secret {SECRET}")), "{message}");
    scenario.objects().wait(Kind::Service, "chat").await?;
    let now = secrets.get(SECRET).await?;
    ensure!(now == theirs, "it was changed");

    secrets.delete(SECRET, &DeleteParams::default()).await?;
    eventually("the tokens are made", LIMIT, async || {
        tokens(&secrets).await.map(drop)
    })
    .await?;
    scenario
        .condition("chat", ("Stalled", "False", "NoError"))
        .await
        .map(drop)
}

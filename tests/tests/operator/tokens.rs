//! The Secrets with the tokens of control calls and the passwords of a managed NATS: made, the same for every operator, put right
//! when gateways refuse or somebody cannot start, and gone with their cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use natter_operator::build::{ADMIN_KEY, GATEWAY_KEY, TOKEN_FILE};
use natter_operator::kinds::Kind;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

const SECRET: &str = "chat-gateway-control";
const PASSWORDS: &str = "chat-nats-users";
/// What a kubelet says where a variable's Secret is not there.
const REFERENCE: &str = "CreateContainerConfigError";
/// Refusals count once in this time.
const AGAIN: Duration = Duration::from_secs(10);

async fn tokens(secrets: &Api<Secret>) -> Result<Vec<String>> {
    let secret = secrets.get_opt(SECRET).await?.context("no Secret")?;
    let file = secret.data.unwrap_or_default().remove(TOKEN_FILE);
    let text = String::from_utf8(file.context("the Secret has no tokens")?.0)?;
    Ok(text.lines().map(str::to_owned).collect())
}

async fn passwords(secrets: &Api<Secret>) -> Result<[Vec<u8>; 2]> {
    let secret = secrets.get_opt(PASSWORDS).await?.context("no Secret")?;
    let mut entries = secret.data.unwrap_or_default();
    let [gateway, admin] = [GATEWAY_KEY, ADMIN_KEY].map(|key| entries.remove(key));
    let both = gateway.zip(admin).context("a password is missing")?;
    Ok([both.0.0, both.1.0])
}

/// Waits until a pod with this part in its name cannot start.
async fn held(pods: &Api<Pod>, part: &str) -> Result<()> {
    let waits = |pod: &Pod| {
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.container_statuses.as_ref());
        containers.into_iter().flatten().any(|container| {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(REFERENCE))
        })
    };
    eventually(&format!("a pod of {part} waits"), LIMIT, async || {
        let all = pods.list(&ListParams::default()).await?.items;
        let found = all.iter().any(|pod| pod.name_any().contains(part) && waits(pod));
        ensure!(found, "none of {} pods", all.len());
        anyhow::Ok(())
    })
    .await
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

/// Deleted once somebody already waits for it, so that no other cause is left to make it again.
#[tokio::test]
async fn who_waits_for_passwords_that_were_deleted_gets_them() -> Result<()> {
    let scenario = Scenario::start().await?;
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let pods: Api<Pod> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let made = passwords(&secrets).await?;
    ensure!(made[0] != made[1] && made.iter().all(|password| password.len() == 65));

    for part in ["chat-gateway", "chat-nats"] {
        kubelet.hold(part, REFERENCE, &format!("secret \"{PASSWORDS}\" not found"));
        if part == "chat-nats" {
            pods.delete("chat-nats-0", &DeleteParams::default()).await?;
        } else {
            let more =
                json!({"spec": {"gateways": {"replicas": 3, "config": {"client": {"anonymous": "allow"}}}}});
            scenario.apply("chat", more).await?;
        }
        held(&pods, part).await?;
        secrets.delete(PASSWORDS, &DeleteParams::default()).await?;
        eventually(&format!("{part} finds the passwords"), LIMIT, async || {
            ensure!(passwords(&secrets).await? == made, "other passwords");
            anyhow::Ok(())
        })
        .await?;
        kubelet.release().await?;
        scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    }
    Ok(())
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

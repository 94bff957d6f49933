//! Secrets stay where they are. Every operator of every test is looked through when it is dropped (`natter_tests::secrets`); here is that
//! this finds one, that what an operator makes is known there, and an operator that says all that it can.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use natter_tests::secrets::shown_in;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

const PLANTED: &str = "the-name-that-is-secret";

/// What is in a Secret.
async fn values(scenario: &Scenario, name: &str) -> Result<Vec<Vec<u8>>> {
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let data = secrets.get(name).await?.data.context("it is empty")?;
    Ok(data.into_values().map(|value| value.0).collect())
}

#[tokio::test]
async fn a_secret_that_is_shown_is_found_in_log_and_metrics() -> Result<()> {
    let scenario = Scenario::start().await?;
    let secrets: Api<Secret> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let planted = Secret {
        metadata: ObjectMeta {
            name: Some("planted".to_owned()),
            ..ObjectMeta::default()
        },
        string_data: Some([("password".to_owned(), PLANTED.to_owned())].into()),
        ..Secret::default()
    };
    secrets.create(&PostParams::default(), &planted).await?;
    let operator = scenario.builder().flag("--identity", PLANTED).start().await?;
    scenario.apply(PLANTED, json!({})).await?;
    for place in ["stderr", "/metrics"] {
        eventually(&format!("it is found in {place}"), LIMIT, async || {
            let leaks = operator.shown_secrets();
            let found = leaks
                .iter()
                .any(|leak| leak.secret == PLANTED && leak.place.starts_with(place));
            ensure!(found, "{leaks:?}");
            anyhow::Ok(())
        })
        .await?;
    }
    Ok(())
}

/// At the level where the libraries of the operator speak too: it makes its key, tokens and passwords, and calls gateways.
#[tokio::test]
async fn an_operator_that_says_all_it_can_shows_none() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.builder().flag("--log-level", "trace").start().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let fewer = json!({"spec": {"gateways": {"replicas": 1, "config": {"client": {"anonymous": "allow"}}}}});
    scenario.apply("chat", fewer).await?;
    eventually("a gateway was drained", LIMIT, async || {
        let labels = [("action", "drain"), ("result", "done")];
        let drained = operator
            .metrics()
            .await?
            .value("natter_operator_actions_total", &labels);
        ensure!(drained.unwrap_or_default() > 0.5, "{drained:?}");
        anyhow::Ok(())
    })
    .await?;
    for name in [
        "natter-operator-control",
        "chat-gateway-control",
        "chat-nats-users",
    ] {
        for value in values(&scenario, name).await? {
            let shown = String::from_utf8(value).unwrap_or_else(|error| format!("{:?}", error.as_bytes()));
            ensure!(
                !shown_in("a test", &shown).is_empty(),
                "what is in {name} is not known"
            );
        }
    }
    let leaks = operator.shown_secrets();
    ensure!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

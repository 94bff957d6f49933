//! In the steady state the operator writes nothing: counted by the API server, over many reconciles.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use natter_operator::kinds::Kind;
use natter_tests::gateway::Metrics;
use natter_tests::kubernetes::Operator;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

const CLUSTERS: u32 = 8;
const ROUNDS: u32 = 13;
/// Verbs of requests that write, as the API server counts them.
const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/// Requests that wrote an object of a kind that the operator makes, or a cluster or its status; by anybody.
async fn writes(scenario: &Scenario) -> Result<f64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = scenario.client.request_text(request).await?;
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total"))
        .collect();
    let metrics = Metrics::parse(&lines.join("\n"))?;
    let resources = Kind::ALL
        .iter()
        .map(|kind| kind.api_resource().plural)
        .chain(["chatclusters", "pods", "secrets"].map(str::to_owned));
    let count = |resource: &str, verb: &str| {
        let of = |labels: &[(&str, &str)]| {
            metrics
                .value("apiserver_request_total", labels)
                .unwrap_or_default()
        };
        let all = of(&[("resource", resource), ("verb", verb)]);
        // Controllers renew their own tokens.
        all - of(&[("resource", resource), ("verb", verb), ("subresource", "token")])
    };
    Ok(resources
        .flat_map(|resource| WRITES.map(|verb| count(&resource, verb)))
        .sum())
}

async fn reconciles(operator: &Operator) -> Result<f64> {
    Ok(operator.metrics().await?.sum("natter_operator_reconciles_total"))
}

fn name(number: u32) -> String {
    format!("chat-{number}")
}

/// Touches every cluster, and waits until each was reconciled for it.
async fn round(scenario: &Scenario, operator: &Operator, round: u32) -> Result<()> {
    let before = reconciles(operator).await?;
    for number in 0..CLUSTERS {
        let touch = json!({"metadata": {"annotations": {"test.example/round": round.to_string()}}});
        let clusters = scenario.clusters();
        clusters
            .patch(&name(number), &PatchParams::default(), &Patch::Merge(touch))
            .await?;
    }
    eventually("every cluster is reconciled", LIMIT, async || {
        let done = reconciles(operator).await? - before;
        ensure!(
            done >= f64::from(CLUSTERS)
                && operator
                    .metrics()
                    .await?
                    .sum("natter_operator_reconciles_running")
                    < 0.5,
            "{done}"
        );
        Ok(())
    })
    .await
}

/// What changes with every change of an object, of its spec where that is counted: controllers write the status when they like.
async fn versions(scenario: &Scenario) -> Result<BTreeMap<String, String>> {
    let made = scenario.objects().made().await?;
    let version = |(kind, object): &(Kind, DynamicObject)| {
        let generation = object
            .metadata
            .generation
            .map(|generation| generation.to_string());
        let version = generation.or(object.resource_version()).unwrap_or_default();
        (format!("{} {}", kind.name(), object.name_any()), version)
    };
    Ok(made.iter().map(version).collect())
}

#[tokio::test]
async fn a_hundred_reconciles_write_nothing() -> Result<()> {
    let scenario = Scenario::alone().await?;
    let operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    for number in 0..CLUSTERS {
        scenario
            .apply(
                &name(number),
                json!({"spec": {"bus": {"managed": {"replicas": 1}}}}),
            )
            .await?;
    }
    for number in 0..CLUSTERS {
        scenario
            .condition(&name(number), ("Ready", "True", "AllReady"))
            .await?;
        scenario
            .condition(&name(number), ("Reconciling", "False", "UpToDate"))
            .await?;
    }
    // The controllers' last word: a server counts as available some seconds after it is ready.
    for number in 0..CLUSTERS {
        let set = format!("{}-nats", name(number));
        eventually(&format!("{set} is available"), LIMIT, async || {
            let found = scenario.objects().get(Kind::StatefulSet, &set).await?;
            ensure!(
                found.data["status"]["availableReplicas"] == 1,
                "{}",
                found.data["status"]
            );
            Ok(())
        })
        .await?;
    }
    let touches = f64::from(CLUSTERS);
    eventually("a round without a write", LIMIT, async || {
        let before = writes(&scenario).await?;
        round(&scenario, &operator, 0).await?;
        let written = writes(&scenario).await? - before;
        ensure!(
            (written - touches).abs() < 0.5 || written.abs() < 0.5,
            "{written} writes, {touches} of them ours"
        );
        Ok(())
    })
    .await?;

    let (before, started) = (writes(&scenario).await?, reconciles(&operator).await?);
    for number in 1..=ROUNDS {
        round(&scenario, &operator, number).await?;
    }
    let (written, done) = (
        writes(&scenario).await? - before,
        reconciles(&operator).await? - started,
    );
    let ours = f64::from(CLUSTERS * ROUNDS);
    ensure!(
        (written - ours).abs() < 0.5,
        "{written} writes over {done} reconciles, {ours} of them the test's own"
    );
    ensure!(done >= 100.0, "only {done} reconciles");

    // A new operator looks at everything and changes nothing.
    let before = versions(&scenario).await?;
    operator.terminate()?;
    operator.wait_exit(LIMIT).await?;
    let operator = scenario.operator().await?;
    eventually("the new operator has looked at everything", LIMIT, async || {
        let done = reconciles(&operator).await?;
        ensure!(done >= f64::from(CLUSTERS), "{done}");
        Ok(())
    })
    .await?;
    round(&scenario, &operator, 0).await?;
    let after = versions(&scenario).await?;
    let changed: Vec<_> = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .collect();
    ensure!(changed.is_empty() && before.len() == after.len(), "{changed:?}");
    Ok(())
}

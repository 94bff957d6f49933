//! The dashboard of the operator, run by a real Prometheus on what a real operator counts.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use natter_operator::api::ChatCluster;
use natter_operator::crd;
use natter_tests::kubernetes::{ApiServer, Operator, OperatorBuilder};
use natter_tests::prometheus::{Job, Prometheus};
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::timeout;

use crate::dashboards::{Choice, OF_OPERATOR, annotations, awaited, panels};
use crate::live::{show_numbers, understood, values_of_variables};
use crate::rules;
use crate::scene::{LIMIT, NAMESPACE};

/// Where the clusters are; the operator itself is said to be in another namespace.
const CLUSTERS: Choice = Choice {
    namespace: "default",
    job: "operator",
};

#[tokio::test]
async fn every_panel_about_the_operator_shows_something() -> Result<()> {
    let server = ApiServer::start().await?;
    let client = install(&server).await?;
    let operator = OperatorBuilder::new(server.kubeconfig()).start().await?;
    clusters(&client, &operator).await?;
    let prometheus = scrape(&operator, &rules::files()?).await?;
    values_of_variables(&prometheus, OF_OPERATOR, CLUSTERS).await?;
    understood(&prometheus, &annotations(OF_OPERATOR)?, CLUSTERS).await?;
    let is_awaited = |text: &str| awaited().iter().any(|family| text.contains(family));
    let (later, now): (Vec<_>, Vec<_>) = panels(OF_OPERATOR)?
        .into_iter()
        .partition(|query| is_awaited(&query.text));
    understood(&prometheus, &later, CLUSTERS).await?;
    show_numbers(
        &prometheus,
        now.into_iter().map(|query| (query, CLUSTERS)).collect(),
    )
    .await?;
    let firing = prometheus
        .query("ALERTS{alertname=\"NatterOperatorDown\"}")
        .await?;
    ensure!(firing.is_empty(), "{firing:?}");
    Ok(())
}

/// The definition of `ChatCluster`; gives a client.
async fn install(server: &ApiServer) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = "chatclusters.natter.dev";
    let wanted = Patch::Apply(crd::chat_cluster()?);
    definitions
        .patch(name, &PatchParams::apply("test"), &wanted)
        .await?;
    timeout(LIMIT, await_condition(definitions, name, is_crd_established())).await??;
    Ok(client)
}

/// One that is reconciled, and one that fails for ever: its Service belongs to somebody else.
async fn clusters(client: &Client, operator: &Operator) -> Result<()> {
    let parameters = PatchParams::apply("test");
    let foreign = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "ill" }, "spec": { "ports": [{ "port": 80 }] },
    });
    let services: Api<Service> = Api::default_namespaced(client.clone());
    services.patch("ill", &parameters, &Patch::Apply(foreign)).await?;
    let clusters: Api<ChatCluster> = Api::default_namespaced(client.clone());
    for name in ["well", "ill"] {
        let cluster = json!({
            "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster", "metadata": { "name": name },
            "spec": { "gateways": { "config": { "client": { "anonymous": "allow" } } } },
        });
        clusters.patch(name, &parameters, &Patch::Apply(cluster)).await?;
    }
    eventually("one is reconciled and one fails", LIMIT, async || {
        let metrics = operator.metrics().await?;
        for result in ["Done", "NotOurs"] {
            let counted = metrics.value("natter_operator_reconciles_total", &[("result", result)]);
            ensure!(counted > Some(0.5), "{result}: {counted:?}");
        }
        anyhow::Ok(())
    })
    .await
}

async fn scrape(operator: &Operator, rules: &[PathBuf]) -> Result<Prometheus> {
    let job = Job {
        name: CLUSTERS.job.to_owned(),
        targets: vec![operator.ops()],
        namespace: Some(NAMESPACE.to_owned()),
        honor_labels: true,
    };
    let prometheus = Prometheus::start(&[job], rules).await?;
    eventually("the operator was scraped", LIMIT, async || {
        let clusters = prometheus
            .query("natter_operator_gateways{namespace=\"default\"}")
            .await?;
        ensure!(!clusters.is_empty(), "no series about a ChatCluster");
        anyhow::Ok(())
    })
    .await?;
    Ok(prometheus)
}

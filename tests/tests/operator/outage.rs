//! The API server goes away, by a cut line or one on which nothing arrives: the leader stops leading in time, says that it is not
//! ready, and goes on by itself afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use natter_tests::kubernetes::{Operator, OperatorBuilder};
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{LIMIT, Scenario};

/// From the last renewal on nobody else may take a lease for this time.
const LEASE: Duration = Duration::from_secs(15);

/// A line to the API server that a test can cut.
struct Line {
    proxy: Proxy,
    folder: TempDir,
}

impl Line {
    async fn start(scenario: &Scenario) -> Result<Self> {
        let text = std::fs::read_to_string(scenario.kubeconfig())?;
        let mut kubeconfig: serde_json::Value = serde_yaml_ng::from_str(&text)?;
        let server = kubeconfig["clusters"][0]["cluster"]["server"].take();
        let server = server.as_str().context("no address")?;
        let target: SocketAddr = server.trim_start_matches("https://").parse()?;
        let proxy = Proxy::start(target).await?;
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", proxy.address()));
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string())?;
        Ok(Self { proxy, folder })
    }

    async fn operator(&self, scenario: &Scenario) -> Result<Operator> {
        OperatorBuilder::new(self.folder.path().join("kubeconfig"))
            .flag("--namespace", &scenario.namespace)
            .flag("--lease-namespace", &scenario.namespace)
            .start()
            .await
    }
}

async fn is(operator: &Operator, what: &str, leads: bool, ready: bool) -> Result<()> {
    eventually(what, LIMIT, async || {
        let leader = operator.metrics().await?.sum("natter_operator_leader");
        let (status, body) = operator.get("/readyz").await?;
        ensure!(
            (leader > 0.5) == leads && (status == 200) == ready,
            "leader: {leader}, /readyz: {status} {body}"
        );
        let (alive, _) = operator.get("/livez").await?;
        ensure!(alive == 200, "a restart would not help: {alive}");
        Ok(())
    })
    .await
}

async fn goes_away_and_comes_back(away: fn(&Proxy)) -> Result<()> {
    let scenario = Scenario::start().await?;
    let line = Line::start(&scenario).await?;
    let operator = line.operator(&scenario).await?;
    scenario.apply("before", json!({})).await?;
    scenario.objects().deployment("before").await?;
    is(&operator, "it leads", true, true).await?;

    away(&line.proxy);
    is(&operator, "it leads no longer", false, false).await?;
    let (_, body) = operator.get("/readyz").await?;
    ensure!(
        body.starts_with("the API server does not answer for the Lease"),
        "{body}"
    );
    scenario.apply("meanwhile", json!({})).await?;

    line.proxy.resume();
    is(&operator, "it leads again", true, true).await?;
    // The same process.
    scenario.objects().deployment("meanwhile").await?;
    scenario.apply("after", json!({})).await?;
    scenario.objects().deployment("after").await.map(drop)
}

#[tokio::test]
async fn an_api_server_that_refuses_connections() -> Result<()> {
    goes_away_and_comes_back(Proxy::cut).await
}

#[tokio::test]
async fn an_api_server_from_which_nothing_arrives() -> Result<()> {
    goes_away_and_comes_back(Proxy::pause).await
}

#[tokio::test]
async fn a_leader_that_is_cut_off_has_stopped_when_the_next_one_leads() -> Result<()> {
    let scenario = Scenario::start().await?;
    let line = Line::start(&scenario).await?;
    let first = line.operator(&scenario).await?;
    is(&first, "the first leads", true, true).await?;
    let second = scenario.operator().await?;
    line.proxy.pause();
    let cut = Instant::now();
    eventually("the second leads", LIMIT, async || {
        let leads = |metrics: natter_tests::gateway::Metrics| metrics.sum("natter_operator_leader") > 0.5;
        // Asked in this order: whoever led when the other one was asked still does.
        let second_leads = leads(second.metrics().await?);
        let first_leads = leads(first.metrics().await?);
        ensure!(second_leads, "it waits");
        assert!(!first_leads, "two operators lead");
        Ok(())
    })
    .await?;
    let taken = cut.elapsed();
    ensure!(taken < LEASE * 3, "it took {taken:?}");
    let leases: Api<Lease> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let holder = leases.get("natter-operator").await?.spec.unwrap_or_default();
    ensure!(holder.holder_identity.is_some(), "{holder:?}");

    line.proxy.resume();
    is(&first, "the first waits for its turn", false, true).await?;
    scenario.apply("chat", json!({})).await?;
    scenario.objects().deployment("chat").await.map(drop)
}

//! Every query of every dashboard, run by a real Prometheus on what real gateways count under traffic.

use anyhow::{Context, Result, bail, ensure};
use natter_tests::prometheus::Prometheus;
use natter_tests::wait::eventually;
use serde_json::Value;

use crate::dashboards::{Choice, OF_GATEWAYS, Query, annotations, label_values, panels, variables};
use crate::scene::{CLUSTER, JOBS, LIMIT, NAMESPACE, PLAIN, Scene};
use crate::traffic;

const CHOICES: [Choice; JOBS] = [
    Choice {
        namespace: NAMESPACE,
        job: CLUSTER,
    },
    Choice {
        namespace: ".*",
        job: PLAIN,
    },
];

/// Of zeros that stand in for series that begin with their first event; here each event has happened.
const STAND_IN: &str = " or vector(0)";

#[tokio::test]
async fn every_panel_shows_something_under_traffic() -> Result<()> {
    let mut scene = Scene::open().await?;
    let _members = traffic::drive(&mut scene).await?;
    let prometheus = &scene.prometheus;
    let mut silent = Vec::new();
    for board in OF_GATEWAYS {
        for choice in CHOICES {
            values_of_variables(prometheus, board, choice).await?;
            understood(prometheus, &annotations(board)?, choice).await?;
            silent.extend(panels(board)?.into_iter().map(|query| (query, choice)));
        }
    }
    show_numbers(prometheus, silent).await?;
    rules_run(prometheus).await
}

/// Waits until every query gives a number: the last events may not have been scraped twice yet.
pub(crate) async fn show_numbers(prometheus: &Prometheus, mut silent: Vec<(Query, Choice)>) -> Result<()> {
    eventually("every panel shows a number", LIMIT, async || {
        let mut still = Vec::new();
        for (query, choice) in &silent {
            if !shows_numbers(prometheus, query, *choice).await? {
                still.push((query.clone(), *choice));
            }
        }
        silent = still;
        ensure!(silent.is_empty(), "{} do not: {silent:#?}", silent.len());
        anyhow::Ok(())
    })
    .await
}

/// Whether Prometheus takes the queries, whatever they give.
pub(crate) async fn understood(prometheus: &Prometheus, queries: &[Query], choice: Choice) -> Result<()> {
    for query in queries {
        prometheus
            .query(&choice.apply(&query.text))
            .await
            .with_context(|| query.place.clone())?;
    }
    Ok(())
}

async fn shows_numbers(prometheus: &Prometheus, query: &Query, choice: Choice) -> Result<bool> {
    let text = choice.apply(&query.text).replace(STAND_IN, "");
    let found = prometheus
        .query(&text)
        .await
        .with_context(|| query.place.clone())?;
    Ok(found.iter().any(is_number))
}

fn is_number(sample: &Value) -> bool {
    let value = sample["value"][1]
        .as_str()
        .and_then(|value| value.parse::<f64>().ok());
    value.is_some_and(f64::is_finite)
}

/// Each variable offers a choice; without Kubernetes there is no namespace to choose.
pub(crate) async fn values_of_variables(prometheus: &Prometheus, board: &str, choice: Choice) -> Result<()> {
    for query in variables(board)? {
        let (selector, label) = label_values(&query)?;
        if label == "namespace" && choice.job == PLAIN {
            continue;
        }
        let series = prometheus.series(&choice.apply(&selector)).await?;
        ensure!(
            series.iter().any(|labels| labels[&label].is_string()),
            "{} offers nothing",
            query.place
        );
    }
    Ok(())
}

/// Every rule is evaluated without an error, and none says that something was lost.
async fn rules_run(prometheus: &Prometheus) -> Result<()> {
    let rules = prometheus.rules().await?;
    ensure!(rules.len() > 20, "{} rules", rules.len());
    for rule in &rules {
        ensure!(rule["health"] == "ok", "{rule}");
        if rule["type"] == "recording" {
            let name = rule["name"].as_str().context("a rule without a name")?;
            records_every_job(prometheus, name).await?;
        }
    }
    match prometheus
        .query("ALERTS{alertname=~\"NatterBooksDoNotBalance|NatterUnrecoveredLoss\"}")
        .await?
        .first()
    {
        None => Ok(()),
        Some(alert) => bail!("nothing was lost, but {alert}"),
    }
}

/// It is evaluated now and then, and has to see two scrapes.
async fn records_every_job(prometheus: &Prometheus, name: &str) -> Result<()> {
    eventually(&format!("{name} is recorded"), LIMIT, async || {
        let recorded = prometheus.query(name).await?;
        ensure!(recorded.len() == JOBS, "{recorded:?}");
        Ok(())
    })
    .await
}

//! Every query of every dashboard, run by a real Prometheus on what real gateways count under traffic.

use anyhow::{Context, Result, bail, ensure};
use natter_tests::prometheus::Prometheus;
use natter_tests::wait::eventually;
use serde_json::Value;

use crate::dashboards::{
    Choice, OF_GATEWAYS, OF_OPERATOR, Query, annotations, awaited, label_values, panels, variables,
};
use crate::scene::{CLUSTER, LIMIT, NAMESPACE, PLAIN, Scene};
use crate::traffic;

const CHOICES: [Choice; 2] = [
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
    let scene = Scene::open().await?;
    traffic::drive(&scene).await?;
    let mut silent = Vec::new();
    for board in OF_GATEWAYS {
        for choice in CHOICES {
            silent.extend(silent_panels(&scene.prometheus, board, choice).await?);
            values_of_variables(&scene.prometheus, board, choice).await?;
            for query in annotations(board)? {
                scene
                    .prometheus
                    .query(&choice.apply(&query.text))
                    .await
                    .context(query.place)?;
            }
        }
    }
    for query in panels(OF_OPERATOR)?.into_iter().chain(annotations(OF_OPERATOR)?) {
        // The operator is not here: its queries are understood, and that is all that can be said.
        scene
            .prometheus
            .query(&CHOICES[0].apply(&query.text))
            .await
            .context(query.place)?;
    }
    ensure!(
        silent.is_empty(),
        "{} queries give nothing:\n{}",
        silent.len(),
        silent.join("\n")
    );
    rules_run(&scene.prometheus).await
}

/// The panels without a single number.
async fn silent_panels(prometheus: &Prometheus, board: &str, choice: Choice) -> Result<Vec<String>> {
    let mut silent = Vec::new();
    for query in panels(board)? {
        if awaited().iter().any(|family| query.text.contains(family)) {
            prometheus
                .query(&choice.apply(&query.text))
                .await
                .context(query.place)?;
        } else if let Err(error) = shows_numbers(prometheus, &query, choice).await {
            silent.push(format!("{error:#}"));
        }
    }
    Ok(silent)
}

async fn shows_numbers(prometheus: &Prometheus, query: &Query, choice: Choice) -> Result<()> {
    let text = choice.apply(&query.text).replace(STAND_IN, "");
    // The last events may not have been scraped twice yet.
    eventually(&query.place, std::time::Duration::from_secs(5), async || {
        let found = prometheus.query(&text).await?;
        ensure!(found.iter().any(is_number), "{text} gives {found:?}");
        anyhow::Ok(())
    })
    .await
}

fn is_number(sample: &Value) -> bool {
    let value = sample["value"][1]
        .as_str()
        .and_then(|value| value.parse::<f64>().ok());
    value.is_some_and(f64::is_finite)
}

/// Each variable offers a choice; without Kubernetes there is no namespace to choose.
async fn values_of_variables(prometheus: &Prometheus, board: &str, choice: Choice) -> Result<()> {
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

/// Every rule is evaluated without an error, and what has just happened is known from an alert.
async fn rules_run(prometheus: &Prometheus) -> Result<()> {
    let rules = prometheus.rules().await?;
    ensure!(rules.len() > 20, "{} rules", rules.len());
    for rule in &rules {
        ensure!(rule["health"] == "ok", "{rule}");
        let name = rule["name"].as_str().context("a rule without a name")?;
        if rule["type"] == "recording" {
            let recorded = prometheus.query(name).await?;
            ensure!(recorded.len() == CHOICES.len(), "{name}: {recorded:?}");
        }
    }
    eventually("the full history is an alert", LIMIT, async || {
        let firing = prometheus
            .query("ALERTS{alertname=\"NatterHistoryFull\", alertstate=\"firing\"}")
            .await?;
        ensure!(firing.len() == CHOICES.len(), "{firing:?}");
        anyhow::Ok(())
    })
    .await?;
    match prometheus
        .query("ALERTS{alertname=~\"NatterBooksDoNotBalance|NatterUnrecoveredLoss\"}")
        .await?
        .first()
    {
        None => Ok(()),
        Some(alert) => bail!("nothing was lost, but {alert}"),
    }
}

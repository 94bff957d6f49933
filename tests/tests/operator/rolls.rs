//! A roll as the API server sees it: newcomers kept away by a label first, one drain at a time, removal at the end; and an
//! operator that is killed in the middle.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_operator::kinds::Kind;
use natter_tests::kubernetes::Operator;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Fleet, Kubelet, LIMIT, Scenario};

const NEW: &str = "registry.example/natter-gateway:2";
/// The time in which the next operator takes over from one that was killed, on top of a wait.
const LEASE: Duration = Duration::from_secs(15);

fn spec(image: &str) -> Value {
    json!({"spec": {
        "image": image,
        "gateways": {"replicas": 3, "config": {"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}}},
    }})
}

/// A roll of three gateways with 30, 10 and 20 connections, in which the second is being drained and keeps its clients.
struct Roll {
    scenario: Scenario,
    kubelet: Kubelet,
    operator: Operator,
    /// Pods of the former revision in the order in which they shall go.
    former: Vec<String>,
    /// Name of its Deployment.
    deployment: String,
}

impl Roll {
    async fn start() -> Result<Self> {
        let scenario = Scenario::start().await?;
        let operator = scenario.operator().await?;
        let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
        scenario
            .apply("chat", spec("registry.example/natter-gateway:1"))
            .await?;
        scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
        let deployment = kube::ResourceExt::name_any(&scenario.objects().deployment("chat").await?);
        let names: Vec<_> = scenario.fleet("chat").await?.into_keys().collect();
        ensure!(names.len() == 3, "{names:?}");
        for (name, connections) in names.iter().zip([30, 10, 20]) {
            kubelet.play(name, |gateway| {
                (gateway.connections, gateway.stays) = (connections, true);
            })?;
        }
        let roll = Self {
            former: [1, 2, 0].map(|place| names[place].clone()).to_vec(),
            scenario,
            kubelet,
            operator,
            deployment,
        };
        roll.begins().await?;
        Ok(roll)
    }

    async fn begins(&self) -> Result<()> {
        self.kubelet.hold("chat-gateway", "ContainerCreating", "");
        self.scenario.apply("chat", spec(NEW)).await?;
        let six = |fleet: &Fleet| fleet.len() == 6;
        let fleet = self
            .scenario
            .wait_fleet("chat", "the new revision is made beside the former", six)
            .await?;
        self.scenario
            .condition("chat", ("Reconciling", "True", "RevisionStarting"))
            .await?;
        ensure!(
            fleet.values().all(|marks| marks.accepting),
            "one leaves before the new ones are ready: {fleet:#?}"
        );
        self.kubelet.release().await?;
        self.scenario
            .condition("chat", ("Reconciling", "True", "RevisionDraining"))
            .await?;
        Ok(())
    }

    /// Waits until this one of the former gateways is being drained, and looks whether all is in order.
    async fn drains(&self, place: usize) -> Result<Fleet> {
        let pod = &self.former[place];
        let begun = |fleet: &Fleet| fleet.get(pod).is_some_and(|marks| marks.drain_until.is_some());
        let fleet = self
            .scenario
            .wait_fleet("chat", &format!("gateway {place} is drained"), begun)
            .await?;
        for (later, name) in self.former.iter().enumerate().skip(place) {
            let marks = fleet.get(name).with_context(|| format!("{name} is gone"))?;
            ensure!(
                !marks.accepting && marks.leaving.as_deref() == Some("roll"),
                "{name}: {marks:?}"
            );
            ensure!(
                marks.drain_until.is_some() == (later == place),
                "{name} is drained out of its turn: {fleet:#?}"
            );
        }
        let newer = fleet.iter().filter(|(name, _)| !self.former.contains(*name));
        for (name, marks) in newer {
            ensure!(marks.accepting && marks.leaving.is_none(), "{name}: {marks:?}");
        }
        eventually("the gateway was told to drain", LIMIT, async || {
            let played = self.kubelet.played(pod)?;
            ensure!(
                played.draining && played.calls() == ["cordon", "drain"],
                "{:?}",
                played.told
            );
            ensure!(
                played.told.iter().all(|told| !told.accepting),
                "it was told before its label was written: {:?}",
                played.told
            );
            anyhow::Ok(())
        })
        .await?;
        Ok(fleet)
    }

    /// Its last client leaves; it is removed and no other.
    async fn empties(&self, place: usize) -> Result<()> {
        let pod = &self.former[place];
        self.kubelet.play(pod, |gateway| gateway.connections = 0)?;
        let gone = |fleet: &Fleet| !fleet.contains_key(pod);
        let fleet = self
            .scenario
            .wait_fleet("chat", &format!("gateway {place} is removed"), gone)
            .await?;
        let later = &self.former[place + 1..];
        ensure!(
            later.iter().all(|name| fleet.contains_key(name)),
            "another one went: {fleet:#?}"
        );
        Ok(())
    }

    async fn ends(&self) -> Result<()> {
        self.scenario
            .objects()
            .wait_gone(Kind::Deployment, &self.deployment)
            .await?;
        self.scenario
            .objects()
            .wait_gone(Kind::ConfigMap, &self.deployment)
            .await?;
        self.scenario
            .condition("chat", ("Reconciling", "False", "UpToDate"))
            .await?;
        let fleet = self.scenario.fleet("chat").await?;
        ensure!(
            fleet.len() == 3 && fleet.values().all(|marks| marks.accepting),
            "{fleet:#?}"
        );
        for name in fleet.keys() {
            let told = self.kubelet.played(name)?.told;
            ensure!(told.is_empty(), "{name} of the new revision was told {told:?}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn former_gateways_leave_the_service_together_and_are_drained_one_after_another() -> Result<()> {
    let roll = Roll::start().await?;
    for place in 0..3 {
        roll.drains(place).await?;
        roll.empties(place).await?;
    }
    roll.ends().await?;
    for name in &roll.former {
        let played = roll.kubelet.played(name)?;
        ensure!(played.calls() == ["cordon", "drain"], "{name}: {:?}", played.told);
    }
    let metrics = roll.operator.metrics().await?;
    for (action, count) in [("cordon", 3.0), ("drain", 3.0), ("shed", 0.0)] {
        let labels = [("action", action), ("result", "done")];
        let done = metrics.value("natter_operator_actions_total", &labels);
        ensure!(done == Some(count), "{action}: {done:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_next_operator_goes_on_with_a_drain() -> Result<()> {
    let roll = Roll::start().await?;
    let before = roll.drains(0).await?;
    let next = roll.scenario.operator().await?;
    roll.operator.kill()?;
    eventually(
        "the next operator leads and has looked",
        LIMIT + LEASE,
        async || {
            let metrics = next.metrics().await?;
            ensure!(metrics.sum("natter_operator_leader") > 0.5, "it waits");
            let done = metrics.value("natter_operator_reconciles_total", &[("result", "Done")]);
            ensure!(done > Some(1.5), "{done:?} reconciles");
            anyhow::Ok(())
        },
    )
    .await?;
    let after = roll.drains(0).await?;
    ensure!(
        before == after,
        "the drain began anew: {before:#?} became {after:#?}"
    );
    for place in 0..3 {
        roll.drains(place).await?;
        roll.empties(place).await?;
    }
    roll.ends().await
}

#[tokio::test]
async fn new_gateways_that_lose_the_bus_hold_the_roll() -> Result<()> {
    let roll = Roll::start().await?;
    let fleet = roll.drains(0).await?;
    let new = fleet.keys().find(|name| !roll.former.contains(*name));
    let new = new.context("no new gateway")?.clone();
    roll.kubelet.play(&new, |gateway| gateway.bus_up = false)?;
    let message = roll
        .scenario
        .condition("chat", ("Reconciling", "True", "BusDown"))
        .await?;
    ensure!(message.contains(&new), "{message}");
    let first = &roll.former[0];
    let paused = |fleet: &Fleet| fleet.get(first).is_some_and(|marks| marks.drain_until.is_none());
    let fleet = roll
        .scenario
        .wait_fleet("chat", "the drain is taken back", paused)
        .await?;
    ensure!(!fleet[first].accepting, "newcomers come to a former gateway");
    eventually(
        "the gateway stays cordoned and does not drain",
        LIMIT,
        async || {
            let played = roll.kubelet.played(first)?;
            ensure!(played.cordoned && !played.draining, "{played:?}");
            anyhow::Ok(())
        },
    )
    .await?;
    roll.kubelet.play(&new, |gateway| gateway.bus_up = true)?;
    for pod in &roll.former {
        roll.kubelet.play(pod, |gateway| gateway.stays = false)?;
    }
    roll.ends().await
}

//! Carries out what was decided about gateways: what concerns a pod is written on it first, and then the gateway is told.
//!
//! A call that fails is no failure of the reconcile. What the gateway says of itself is compared with what is written on its pod,
//! and it is told again: to drain, to stop that, to serve. A write that fails is one, but does not keep the other gateways from what
//! concerns them; what ends closes is done first.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{
    build::{ACCEPTING, Names},
    controller::Context,
    error::{Error, is_not_found},
    fleet::{Action, Why, marks},
    gateways::Call,
    validate::ValidCluster,
};

/// Actions that are carried out at the same time, of one cluster: each may wait for a gateway that does not answer.
const CONCURRENCY: usize = 16;

/// Whom actions are for.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub context: &'a Context,
    pub cluster: &'a ValidCluster,
    pub names: &'a Names,
    pub pods: &'a [Arc<Pod>],
    pub token: &'a str,
    pub now: Timestamp,
}

/// What came of actions.
pub struct Acted {
    /// The first error, when all were tried.
    pub result: Result<(), Error>,
    /// Gateways that heard that they are to shed.
    pub sheds: usize,
}

/// Carries out all actions: first together those that end closes and open or shut gateways, then the others in their order.
pub async fn act(scene: Scene<'_>, actions: &[Action]) -> Acted {
    let (first, then): (Vec<_>, Vec<_>) = actions.iter().partition(|action| closes_nothing(action));
    let first: Vec<_> = first.into_iter().map(|action| scene.act(action)).collect();
    let mut results: Vec<_> = stream::iter(first).buffer_unordered(CONCURRENCY).collect().await;
    let mut sheds = 0;
    for action in then {
        let heard = scene.act(action).await;
        sheds += usize::from(matches!((action, &heard), (Action::Shed { .. }, Ok(true))));
        results.push(heard);
    }
    Acted {
        result: results.into_iter().try_for_each(|heard| heard.map(drop)),
        sheds,
    }
}

fn closes_nothing(action: &Action) -> bool {
    matches!(
        action,
        Action::Accept { .. } | Action::Pause { .. } | Action::Cordon { .. }
    )
}

impl Scene<'_> {
    /// Whether the gateway heard of it, if it was to.
    async fn act(&self, action: &Action) -> Result<bool, Error> {
        info!(action = action.name(), pod = action.pod(), "{action:?}");
        let result = self.carry_out(action).await;
        self.context.metrics.acted(action.name(), result.is_ok());
        result
    }

    async fn carry_out(&self, action: &Action) -> Result<bool, Error> {
        match action {
            Action::Scale { revision, replicas } => self.scale(revision, *replicas).await?,
            Action::Shed { .. } => {}
            action => {
                if let Some(pod) = action.pod() {
                    self.write(pod, action).await?;
                }
            }
        }
        let mut heard = true;
        for call in calls(action) {
            heard &= self.tell(action.pod(), &call).await;
        }
        Ok(heard)
    }

    async fn scale(&self, revision: &str, replicas: i32) -> Result<(), Error> {
        let name = self.names.gateway_revision(revision);
        let api: Api<Deployment> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        match api.patch(&name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(source) => Err(Error::Action {
                what: "scale Deployment",
                name,
                source,
            }),
        }
    }

    async fn write(&self, pod: &str, action: &Action) -> Result<(), Error> {
        let Some(patch) = patch(action, self.now) else {
            return Ok(());
        };
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        match api
            .patch(pod, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => Ok(()),
            // It went by itself.
            Err(error) if is_not_found(&error) => Ok(()),
            Err(source) => Err(Error::Action {
                what: "mark pod",
                name: pod.to_owned(),
                source,
            }),
        }
    }

    async fn tell(&self, name: Option<&str>, call: &Call) -> bool {
        let pod = self.pods.iter().find(|pod| Some(pod.name_any().as_str()) == name);
        let Some(pod) = pod else { return false };
        let told = self.context.gateways.tell(pod, call, self.token).await;
        self.context.metrics.told(told.is_ok());
        if let Err(error) = &told {
            warn!(pod = name, ?call, %error, "a gateway was not told");
        }
        told.is_ok()
    }
}

/// What is written on the pod.
fn patch(action: &Action, now: Timestamp) -> Option<Value> {
    let (accepting, annotations) = match action {
        Action::Cordon { why, .. } => (Some("false"), leaving(*why, now)),
        Action::Accept { .. } => {
            let back = json!({marks::LEAVING: null, marks::CORDONED_AT: null, marks::DRAIN_UNTIL: null,
                marks::DELETION_COST: null, marks::ACCEPTED_AT: written(now)});
            (Some("true"), back)
        }
        Action::Drain { until, .. } => (None, json!({marks::DRAIN_UNTIL: written(*until)})),
        Action::Pause { .. } => (
            None,
            json!({marks::DRAIN_UNTIL: null, marks::CORDONED_AT: written(now)}),
        ),
        Action::Mark { .. } => (None, json!({marks::DELETION_COST: marks::LOWEST_COST})),
        Action::Scale { .. } | Action::Shed { .. } => return None,
    };
    let mut metadata = json!({"annotations": annotations});
    if let Some(accepting) = accepting {
        metadata["labels"] = json!({ACCEPTING: accepting});
    }
    Some(json!({"metadata": metadata}))
}

fn leaving(why: Why, now: Timestamp) -> Value {
    json!({marks::LEAVING: why.name(), marks::CORDONED_AT: written(now)})
}

/// Whole seconds, as Kubernetes writes times.
fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// What the gateway is told.
fn calls(action: &Action) -> Vec<Call> {
    match action {
        Action::Cordon { .. } => vec![Call::Cordon],
        Action::Accept { .. } => vec![Call::Uncordon],
        Action::Drain { rate, .. } => vec![Call::Drain { rate: *rate }],
        // To take back a drain takes back the cordon as well.
        Action::Pause { .. } => vec![Call::Uncordon, Call::Cordon],
        Action::Shed {
            connections, rate, ..
        } => vec![Call::Shed {
            connections: *connections,
            rate: *rate,
        }],
        Action::Scale { .. } | Action::Mark { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_is_written_before_it_begins() {
        let now: Timestamp = "2026-11-21T10:00:00.5Z".parse().unwrap();
        let pod = || "a".to_owned();
        let until = "2026-11-21T10:01:00Z".parse().unwrap();
        for (action, expected) in [
            (
                Action::Cordon {
                    pod: pod(),
                    why: Why::Scale,
                },
                json!({"labels": {"natter.dev/accepting": "false"},
                    "annotations": {"natter.dev/leaving": "scale-down", "natter.dev/cordoned-at": "2026-11-21T10:00:00Z"}}),
            ),
            (
                Action::Drain {
                    pod: pod(),
                    rate: 5.0,
                    until,
                },
                json!({"annotations": {"natter.dev/drain-until": "2026-11-21T10:01:00Z"}}),
            ),
            (
                Action::Pause { pod: pod() },
                json!({"annotations": {"natter.dev/drain-until": null, "natter.dev/cordoned-at": "2026-11-21T10:00:00Z"}}),
            ),
            (
                Action::Mark { pod: pod() },
                json!({"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1000"}}),
            ),
            (
                Action::Accept { pod: pod() },
                json!({"labels": {"natter.dev/accepting": "true"},
                    "annotations": {"natter.dev/leaving": null, "natter.dev/cordoned-at": null, "natter.dev/drain-until": null,
                        "controller.kubernetes.io/pod-deletion-cost": null, "natter.dev/accepted-at": "2026-11-21T10:00:00Z"}}),
            ),
        ] {
            assert_eq!(
                patch(&action, now),
                Some(json!({"metadata": expected})),
                "{action:?}"
            );
        }
    }

    #[test]
    fn a_paused_gateway_stays_cordoned() {
        let pause = Action::Pause { pod: "a".to_owned() };
        assert_eq!(calls(&pause), [Call::Uncordon, Call::Cordon]);
    }
}

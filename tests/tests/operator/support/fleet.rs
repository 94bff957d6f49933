//! The gateways of a cluster, as their pods say it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use natter_operator::build::{ACCEPTING, REVISION};
use natter_operator::fleet::marks;
use natter_tests::wait::eventually;

use super::{LIMIT, Scenario};

/// What is written on a gateway's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) revision: String,
    pub(crate) accepting: bool,
    pub(crate) leaving: Option<String>,
    pub(crate) drain_until: Option<String>,
    pub(crate) first_to_go: bool,
}

pub(crate) type Fleet = BTreeMap<String, Marks>;

impl Scenario {
    /// The gateways of a cluster by name of the pod, but for those that end.
    pub(crate) async fn fleet(&self, cluster: &str) -> Result<Fleet> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = format!("app.kubernetes.io/instance={cluster},app.kubernetes.io/component=gateway");
        let pods = api.list(&ListParams::default().labels(&labels)).await?.items;
        Ok(pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .map(|pod| (pod.name_any(), Marks::of(pod)))
            .collect())
    }

    /// Waits until the gateways are as `wanted` says.
    pub(crate) async fn wait_fleet(
        &self,
        cluster: &str,
        what: &str,
        wanted: impl Fn(&Fleet) -> bool,
    ) -> Result<Fleet> {
        eventually(what, LIMIT, async || {
            let fleet = self.fleet(cluster).await?;
            ensure!(wanted(&fleet), "{fleet:#?}");
            Ok(fleet)
        })
        .await
    }

    /// A field of `status.scaling`.
    pub(crate) async fn sizing(&self, cluster: &str) -> Result<natter_operator::api::status::ScalingStatus> {
        let status = self.get(cluster).await?.status.unwrap_or_default();
        status.scaling.context("nothing was decided on")
    }
}

impl Marks {
    fn of(pod: &Pod) -> Self {
        let annotation = |name: &str| pod.annotations().get(name).cloned();
        let label = |name: &str| pod.labels().get(name).cloned().unwrap_or_default();
        Self {
            revision: label(REVISION),
            accepting: label(ACCEPTING) == "true",
            leaving: annotation(marks::LEAVING),
            drain_until: annotation(marks::DRAIN_UNTIL),
            first_to_go: annotation(marks::DELETION_COST).as_deref() == Some(marks::LOWEST_COST),
        }
    }
}

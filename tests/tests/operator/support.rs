//! A scenario: a namespace of its own on a real API server, and what is done there.

mod fleet;
mod kubelet;
mod objects;
mod ops;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use natter_operator::api::ChatCluster;
use natter_tests::kubernetes::{Operator, OperatorBuilder};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

pub(crate) use self::fleet::Fleet;
pub(crate) use self::kubelet::Kubelet;
pub(crate) use self::objects::{Objects, merge};
pub(crate) use self::server::{Server, foreign_definitions, install_definition, remove_definition};

/// The bound of a single wait.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A namespace of one test.
pub(crate) struct Scenario {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    server: Arc<Server>,
}

impl Scenario {
    /// On the server that most tests share.
    pub(crate) async fn start() -> Result<Self> {
        Self::on(Arc::new(Server::shared().await?)).await
    }

    /// On the server that one test has at a time, as it is after an installation.
    pub(crate) async fn alone() -> Result<Self> {
        Self::on(Arc::new(Server::exclusive().await?)).await
    }

    /// Another namespace of the same server.
    pub(crate) async fn beside(&self) -> Result<Self> {
        Self::on(Arc::clone(&self.server)).await
    }

    async fn on(server: Arc<Server>) -> Result<Self> {
        let client = server.client().await?;
        let api: Api<Namespace> = Api::all(client.clone());
        let wanted = Namespace {
            metadata: ObjectMeta {
                generate_name: Some("test-".to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = api.create(&PostParams::default(), &wanted).await?;
        Ok(Self {
            namespace: made.name_any(),
            client,
            server,
        })
    }

    /// An operator for this namespace alone.
    pub(crate) fn builder(&self) -> OperatorBuilder {
        OperatorBuilder::new(self.server.kubeconfig())
            .flag("--namespace", &self.namespace)
            .flag("--lease-namespace", &self.namespace)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.server.kubeconfig()
    }

    pub(crate) async fn operator(&self) -> Result<Operator> {
        self.builder().start().await
    }

    pub(crate) fn clusters(&self) -> Api<ChatCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::new(self.client.clone(), &self.namespace)
    }

    /// Applies a cluster with the fewest settings, changed by `change`.
    pub(crate) async fn apply(&self, name: &str, change: Value) -> Result<ChatCluster> {
        let cluster = merge(minimal(name), &change);
        let parameters = PatchParams::apply("test").force();
        let applied = self
            .clusters()
            .patch(name, &parameters, &Patch::Apply(&cluster))
            .await;
        applied.with_context(|| format!("{name} is refused"))
    }

    pub(crate) async fn get(&self, name: &str) -> Result<ChatCluster> {
        Ok(self.clusters().get(name).await?)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.clusters().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes the namespace and waits until it is gone.
    pub(crate) async fn delete_namespace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        eventually("the namespace is gone", LIMIT, async || {
            let found = namespaces.get_opt(&self.namespace).await?;
            ensure!(found.is_none(), "{:?}", found.and_then(|found| found.status));
            Ok(())
        })
        .await
    }

    /// Waits until nothing that an operator made is there.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        eventually("nothing is left", LIMIT, async || {
            let names = self.objects().names().await?;
            ensure!(names.is_empty(), "{names:?}");
            Ok(())
        })
        .await
    }

    /// Waits until a condition answers so, for this reason; gives its message.
    pub(crate) async fn condition(&self, name: &str, wanted: (&str, &str, &str)) -> Result<String> {
        let (type_, status, reason) = wanted;
        eventually(&format!("{name}: {type_}={status} {reason}"), LIMIT, async || {
            let cluster = self.get(name).await?;
            let conditions = cluster.status.unwrap_or_default().conditions;
            let condition = conditions.iter().find(|condition| condition.type_ == type_);
            let condition = condition.with_context(|| format!("no {type_} yet"))?;
            ensure!(
                condition.status == status && condition.reason == reason,
                "{}={} {}: {}",
                condition.type_,
                condition.status,
                condition.reason,
                condition.message
            );
            Ok(condition.message.clone())
        })
        .await
    }

    /// Waits for an event about this cluster; gives its note.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> Result<String> {
        let api: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.client.clone(), &self.namespace);
        eventually(&format!("event {reason} of {name}"), LIMIT, async || {
            let events = api.list(&ListParams::default()).await?.items;
            let found = events.iter().find(|event| {
                let about = event.regarding.as_ref().and_then(|object| object.name.as_deref());
                event.reason.as_deref() == Some(reason) && about == Some(name)
            });
            let seen: Vec<_> = events
                .iter()
                .filter_map(|event| event.reason.as_deref())
                .collect();
            let found = found.with_context(|| format!("only {seen:?}"))?;
            Ok::<_, anyhow::Error>(found.note.clone().unwrap_or_default())
        })
        .await
    }
}

/// The smallest cluster that is accepted.
pub(crate) fn minimal(name: &str) -> Value {
    json!({
        "apiVersion": "natter.dev/v1alpha1",
        "kind": "ChatCluster",
        "metadata": {"name": name},
        "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
    })
}

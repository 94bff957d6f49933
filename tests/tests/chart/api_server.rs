//! What a real API server says about the manifests, and whether the operator can work with the role that the chart gives it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Config, ResourceExt};
use natter_operator::{api::ChatCluster, deletion::FINALIZER};
use natter_tests::kubernetes::{ApiServer, OperatorBuilder};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::examples::{examples, parse};
use crate::helm::{NAMESPACE, Render, count, find, identity, values};
use crate::matrix::matrix;

const LIMIT: Duration = Duration::from_mins(1);

/// An API server with the definitions of the chart and of other projects, and an administrator.
struct Kubernetes {
    server: ApiServer,
    client: Client,
}

impl Kubernetes {
    async fn start() -> Result<Self> {
        let server = ApiServer::start().await?;
        let client = client(Kubeconfig::read_from(server.kubeconfig())?).await?;
        let kubernetes = Self { server, client };
        for file in ApiServer::foreign_definitions()? {
            for definition in parse(&std::fs::read_to_string(file)?)? {
                kubernetes.apply(&definition, false).await?;
            }
        }
        let chart = Render::new().manifests().await?;
        kubernetes
            .apply(
                find(&chart, "CustomResourceDefinition/chatclusters.natter.dev")?,
                false,
            )
            .await?;
        for name in [NAMESPACE, "rooms", "monitoring", "chat"] {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            kubernetes.apply(&namespace, false).await?;
        }
        // Without the account that Kubernetes gives each namespace, pods are refused.
        let accounts: Api<ServiceAccount> = Api::namespaced(kubernetes.client.clone(), NAMESPACE);
        let default = eventually("the account is there", LIMIT, async || {
            accounts.get("default").await
        });
        default.await?;
        Ok(kubernetes)
    }

    /// Applies as `kubectl apply --server-side` does, strictly; `dry`: and keeps nothing. A kind may be news to the API server.
    async fn apply(&self, manifest: &Value, dry: bool) -> Result<()> {
        let text = |pointer: &str| {
            manifest
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (group, version) = text("/apiVersion")
            .split_once('/')
            .unwrap_or(("", text("/apiVersion")));
        let kind = GroupVersionKind::gvk(group, version, text("/kind"));
        let known = format!("{kind:?} is known");
        let found = eventually(&known, LIMIT, async || pinned_kind(&self.client, &kind).await);
        let (resource, capabilities) = found.await?;
        let api: Api<DynamicObject> = match (capabilities.scope, text("/metadata/namespace")) {
            (Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
            (Scope::Namespaced, "") => Api::default_namespaced_with(self.client.clone(), &resource),
            (Scope::Namespaced, namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let parameters = PatchParams {
            dry_run: dry,
            force: true,
            field_manager: Some("test".to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let applied = api
            .patch(text("/metadata/name"), &parameters, &Patch::Apply(manifest))
            .await;
        applied.map(drop).with_context(|| identity(manifest))
    }
}

async fn client(kubeconfig: Kubeconfig) -> Result<Client> {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

#[tokio::test]
async fn every_manifest_and_example_is_taken() -> Result<()> {
    let kubernetes = Kubernetes::start().await?;
    for render in matrix() {
        for manifest in render.manifests().await? {
            kubernetes
                .apply(&manifest, true)
                .await
                .with_context(|| format!("{render:?}"))?;
        }
    }
    for (file, example) in examples()? {
        kubernetes.apply(&example, true).await.context(file)?;
    }
    Ok(())
}

/// What of the chart says who the operator is, and what it may do.
const IDENTITY: [&str; 5] = [
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// Gives the operator's account its role; the answer is a kubeconfig of that account.
async fn account(kubernetes: &Kubernetes, render: &Render) -> Result<String> {
    for manifest in render.manifests().await? {
        if IDENTITY.iter().any(|kind| manifest["kind"] == *kind) {
            kubernetes.apply(&manifest, false).await?;
        }
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(kubernetes.client.clone(), NAMESPACE);
    let (parameters, request) = (PostParams::default(), TokenRequest::default());
    let asked = accounts.create_token_request("edge-natter-operator", &parameters, &request);
    let token = asked.await?.status.context("no token")?.token;
    let mut kubeconfig = parse(&std::fs::read_to_string(kubernetes.server.kubeconfig())?)?.remove(0);
    for user in kubeconfig["users"].as_array_mut().context("no users")? {
        user["user"] = json!({ "token": token });
    }
    Ok(kubeconfig.to_string())
}

/// Every kind that the operator makes, by an operator that is nobody but the chart's account; `watched`: in one namespace only.
async fn works_as_the_account_of(
    kubernetes: &Kubernetes,
    render: &Render,
    watched: Option<&str>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, account(kubernetes, render).await?)?;
    let mut builder = OperatorBuilder::new(path).flag("--lease-namespace", NAMESPACE);
    if let Some(namespace) = watched {
        builder = builder.flag("--namespace", namespace);
    }
    let operator = builder.start().await?;
    let everything = include_str!("../../../operator/tests/fixtures/build/everything/cluster.yaml");
    let mut cluster = parse(everything)?.remove(0);
    cluster["metadata"] = json!({ "name": "chat", "namespace": watched.unwrap_or("rooms") });
    kubernetes.apply(&cluster, false).await?;
    delete_with_streams(kubernetes, watched.unwrap_or("rooms")).await?;
    eventually("everything is made", LIMIT, async || {
        let forbidden = operator
            .logs()
            .iter()
            .map(|line| format!("{line:?}"))
            .find(|line| line.contains("forbidden"));
        ensure!(forbidden.is_none(), "{forbidden:?}");
        let metrics = operator.metrics().await?;
        for kind in natter_operator::kinds::Kind::ALL {
            let made = metrics.value(
                "natter_operator_writes_total",
                &[("kind", kind.name()), ("verb", "apply")],
            );
            ensure!(made > Some(0.5), "{}: {made:?}", kind.name());
        }
        let done = metrics.value("natter_operator_reconciles_total", &[("result", "Done")]);
        ensure!(done > Some(0.5), "no reconcile ended well");
        anyhow::Ok(())
    })
    .await
}

/// Deletes a cluster that takes its streams along, for which the operator makes a Job.
async fn delete_with_streams(kubernetes: &Kubernetes, namespace: &str) -> Result<()> {
    let cluster = json!({
        "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
        "metadata": { "name": "gone", "namespace": namespace },
        "spec": {
            "gateways": { "config": { "client": { "anonymous": "allow" } } },
            "bus": { "external": { "servers": ["nats://nats.example"] } },
            "deletionPolicy": "Delete",
        },
    });
    kubernetes.apply(&cluster, false).await?;
    let clusters: Api<ChatCluster> = Api::namespaced(kubernetes.client.clone(), namespace);
    eventually("it has the finalizer", LIMIT, async || {
        let found = clusters.get("gone").await?;
        ensure!(found.finalizers() == [FINALIZER], "{:?}", found.finalizers());
        anyhow::Ok(())
    })
    .await?;
    clusters.delete("gone", &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn the_role_is_enough() -> Result<()> {
    let kubernetes = Kubernetes::start().await?;
    let namespaced = Render::new().values(&values("namespaced"));
    ensure!(count(&namespaced.manifests().await?, "ClusterRole") == 0);
    works_as_the_account_of(&kubernetes, &namespaced, Some("chat")).await?;
    works_as_the_account_of(&kubernetes, &Render::new(), None).await
}

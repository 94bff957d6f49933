//! A NATS that is somebody else's: with an account, a volume and a Service of its own.

use anyhow::{Result, ensure};
use natter_operator::api::bus::ManagedNats;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use super::{START, apply, get, kubectl};

/// Name of its objects.
const NAME: &str = "nats";
/// Name of the Secret with its account, under the keys that a `ChatCluster` expects.
const ACCOUNT: &str = "nats-account";

/// A NATS server of a namespace.
pub(crate) struct ExternalNats {
    namespace: String,
}

impl ExternalNats {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(namespace: &str) -> Result<Self> {
        for object in [account(), service(), server()] {
            apply(namespace, &object.to_string()).await?;
        }
        let nats = Self {
            namespace: namespace.to_owned(),
        };
        nats.wait_ready(1).await?;
        Ok(nats)
    }

    /// The `bus` of a `ChatCluster` that uses it.
    pub(crate) fn bus(&self) -> Value {
        json!({ "external": {
            "servers": [format!("nats://{NAME}.{}.svc:4222", self.namespace)],
            "credentials": { "secretName": ACCOUNT },
        } })
    }

    /// Ends it; its volume stays.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.scale(0).await
    }

    /// Starts it again with what it had.
    pub(crate) async fn start_again(&self) -> Result<()> {
        self.scale(1).await
    }

    async fn scale(&self, servers: u64) -> Result<()> {
        let (set, replicas) = (format!("statefulset/{NAME}"), format!("--replicas={servers}"));
        kubectl(&["scale", &set, "--namespace", &self.namespace, &replicas]).await?;
        self.wait_ready(servers).await
    }

    async fn wait_ready(&self, servers: u64) -> Result<()> {
        eventually(&format!("{servers} external NATS run"), START, async || {
            let set = get(&self.namespace, "statefulset", NAME).await?;
            let status = &set["status"];
            let count = |field: &str| status[field].as_u64().unwrap_or_default();
            let current = status["observedGeneration"] == set["metadata"]["generation"];
            let settled = count("replicas") == servers && count("readyReplicas") == servers;
            ensure!(current && settled, "{status}");
            anyhow::Ok(())
        })
        .await
    }
}

fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": ACCOUNT },
        "stringData": { "username": "chat", "password": "end-to-end" },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": NAME },
        "spec": { "selector": { "app": NAME }, "ports": [{ "name": "nats", "port": 4222 }] },
    })
}

/// Under the restricted Pod Security Standard, as every pod of a scenario.
fn server() -> Value {
    let variable = |name: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": ACCOUNT, "key": key } } });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": NAME },
        "spec": {
            "serviceName": NAME, "replicas": 1,
            "selector": { "matchLabels": { "app": NAME } },
            "template": {
                "metadata": { "labels": { "app": NAME } },
                "spec": {
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [{
                        "name": NAME, "image": ManagedNats::default().image,
                        "args": ["--jetstream", "--store_dir=/data", "--user=$(NATS_USER)", "--pass=$(NATS_PASSWORD)"],
                        "env": [variable("NATS_USER", "username"), variable("NATS_PASSWORD", "password")],
                        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                        "readinessProbe": { "tcpSocket": { "port": 4222 }, "periodSeconds": 1 },
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    })
}

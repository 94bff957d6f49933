//! A `ChatCluster` under test, and what can be asked of it from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use super::{Clients, SOON, START, apply, get, kubectl, list, raw};

const GATEWAYS: &str = "app.kubernetes.io/component=gateway";
const SERVERS: &str = "app.kubernetes.io/component=nats";

/// A `ChatCluster` of a namespace.
pub(crate) struct Chat {
    pub(super) namespace: String,
    name: String,
}

impl Chat {
    /// What the Secret that [`Chat::spec`] names holds.
    pub(crate) const API_KEY: &str = "end-to-end-scenarios";
    /// A durable room of [`Chat::spec`].
    pub(crate) const ROOM: &str = "team:lobby";

    /// A cluster that scenarios change: so many gateways and NATS servers, durable rooms `team:…`, the server API, a short
    /// drain, reached by a node port.
    pub(crate) fn spec(gateways: u32, servers: u32) -> Value {
        json!({
            "gateways": {
                "replicas": gateways,
                "config": {
                    "client": { "anonymous": "allow" },
                    "api": { "keys": { "name": "api-keys", "key": "keys" } },
                    "rooms": {
                        "default": { "subscribe": "anyone", "publish": "anyone" },
                        "namespaces": [{
                            "name": "team", "subscribe": "anyone", "publish": "anyone",
                            "history": { "size": 100_000, "ttl": "1h", "forceRecovery": true },
                        }],
                    },
                    "drain": { "accept": "2s", "duration": "5s" },
                },
            },
            "bus": { "managed": { "replicas": servers } },
            "exposure": { "service": { "type": "NodePort" } },
        })
    }

    /// Applies it, with the Secret of the API's key, and waits until it serves.
    pub(crate) async fn start(namespace: &str, name: &str, spec: &Value) -> Result<Self> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "api-keys" },
            "stringData": { "keys": Self::API_KEY },
        });
        apply(namespace, &secret.to_string()).await?;
        let chat = Self::apply(namespace, name, spec).await?;
        chat.wait_settled(START).await?;
        Ok(chat)
    }

    /// Applies it and waits for nothing.
    pub(crate) async fn apply(namespace: &str, name: &str, spec: &Value) -> Result<Self> {
        let chat = Self::named(namespace, name);
        chat.change(spec).await?;
        Ok(chat)
    }

    /// One that was made otherwise.
    pub(crate) fn named(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Applies another spec.
    pub(crate) async fn change(&self, spec: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
            "metadata": { "name": self.name }, "spec": spec,
        });
        apply(&self.namespace, &object.to_string()).await.map(drop)
    }

    /// Merges a part into the spec.
    pub(crate) async fn patch(&self, spec: &Value) -> Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        let args = ["patch", "chatcluster", &self.name, "--namespace", &self.namespace];
        kubectl(&[&args[..], &["--type=merge", "--patch", &patch]].concat())
            .await
            .map(drop)
    }

    /// Waits until the operator says that this very spec is what runs, and that all of it is ready.
    pub(crate) async fn wait_settled(&self, limit: Duration) -> Result<()> {
        eventually(&format!("{} is settled", self.name), limit, async || {
            let object = self.object().await?;
            let (ready, changing) = (condition(&object, "Ready")?, condition(&object, "Reconciling")?);
            ensure!(
                ready["status"] == "True" && changing["status"] == "False",
                "{ready}, {changing}"
            );
            let count = &object["status"]["nats"];
            ensure!(count["ready"] == count["desired"], "NATS servers: {count}");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until newcomers come to every gateway: nodes learn of one a moment after the operator has seen it ready.
    pub(crate) async fn wait_reached(&self) -> Result<()> {
        eventually("newcomers come to every gateway", START, async || {
            Clients::join(self, "first", 10).await?.finish().await?;
            let reached = self.metric("natter_connections_total").await?;
            ensure!(reached.values().all(|count| *count > 0), "{reached:?}");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until the change is made and none of the former gateways is there, not even on its way out.
    pub(crate) async fn wait_rolled(&self, former: &[String], limit: Duration) -> Result<()> {
        self.wait_settled(limit).await?;
        eventually("the former gateways are gone", limit, async || {
            let pods = self.pods(GATEWAYS).await?;
            let left: Vec<_> = pods.iter().filter(|pod| former.contains(pod)).collect();
            ensure!(left.is_empty(), "{left:?}");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until so many gateways are there, and none on its way out.
    pub(crate) async fn wait_gateways(&self, count: usize, limit: Duration) -> Result<()> {
        self.wait_settled(limit).await?;
        eventually(&format!("there are {count} gateways"), limit, async || {
            let pods = self.pods(GATEWAYS).await?;
            ensure!(pods.len() == count, "{pods:?}");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until a condition has this reason; gives it.
    pub(crate) async fn wait_reason(&self, kind: &str, reason: &str, limit: Duration) -> Result<Value> {
        let what = format!("{} has the condition {kind} for the reason {reason}", self.name);
        eventually(&what, limit, async || {
            let condition = condition(&self.object().await?, kind)?;
            ensure!(condition["reason"] == reason, "{condition}");
            Ok(condition)
        })
        .await
    }

    /// Waits until the object has an event with this reason; gives its note.
    pub(crate) async fn wait_event(&self, reason: &str, limit: Duration) -> Result<String> {
        let fields = format!(
            "--field-selector=involvedObject.name={},reason={reason}",
            self.name
        );
        let args = [
            "get",
            "events",
            "--namespace",
            &self.namespace,
            &fields,
            "--output=json",
        ];
        eventually(
            &format!("{} has an event {reason}", self.name),
            limit,
            async || {
                let events: Value = serde_json::from_str(&kubectl(&args).await?)?;
                let note = events["items"][0]["message"].as_str().map(str::to_owned);
                note.context("there is none")
            },
        )
        .await
    }

    pub(crate) async fn object(&self) -> Result<Value> {
        get(&self.namespace, "chatcluster", &self.name).await
    }

    /// `host:port` at which machines outside of Kubernetes reach the Service.
    pub(crate) async fn address(&self) -> Result<String> {
        let nodes = list("default", "nodes", "").await?;
        let addresses = nodes
            .iter()
            .filter_map(|node| node["status"]["addresses"].as_array());
        let host = addresses
            .flatten()
            .find(|address| address["type"] == "InternalIP")
            .and_then(|address| address["address"].as_str());
        let port = eventually("the Service has a node port", START, async || {
            let service = get(&self.namespace, "service", &self.name).await?;
            let port = service["spec"]["ports"][0]["nodePort"].as_u64();
            port.context("it has none")
        })
        .await?;
        Ok(format!("{}:{port}", host.context("no node has an address")?))
    }

    /// Names of the gateway pods.
    pub(crate) async fn gateways(&self) -> Result<Vec<String>> {
        self.pods(GATEWAYS).await
    }

    /// Names of the NATS pods.
    pub(crate) async fn servers(&self) -> Result<Vec<String>> {
        self.pods(SERVERS).await
    }

    /// The gateway pods as Kubernetes shows them.
    pub(super) async fn gateway_pods(&self) -> Result<Vec<Value>> {
        let labels = format!("app.kubernetes.io/instance={},{GATEWAYS}", self.name);
        list(&self.namespace, "pods", &labels).await
    }

    async fn pods(&self, component: &str) -> Result<Vec<String>> {
        let labels = format!("app.kubernetes.io/instance={},{component}", self.name);
        let pods = list(&self.namespace, "pods", &labels).await?;
        pods.iter()
            .map(|pod| {
                pod["metadata"]["name"]
                    .as_str()
                    .map(str::to_owned)
                    .context("a pod has no name")
            })
            .collect()
    }

    /// A metric of each gateway, by the name of its pod: family and, if there are any, labels as in `a="b"`.
    pub(crate) async fn metric(&self, series: &str) -> Result<BTreeMap<String, u64>> {
        let mut values = BTreeMap::new();
        for pod in self.gateways().await? {
            let path = format!(
                "/api/v1/namespaces/{}/pods/{pod}:9000/proxy/metrics",
                self.namespace
            );
            let metrics = raw(&path).await?;
            let value = metrics
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            let value = value.with_context(|| format!("{pod} has no metric {series}"))?;
            values.insert(pod, value.parse()?);
        }
        Ok(values)
    }

    /// Clients of each gateway, by the name of its pod. While gateways come and go, it is asked again.
    pub(crate) async fn connections(&self) -> Result<BTreeMap<String, u64>> {
        eventually("gateways say how many clients they have", SOON, async || {
            self.metric("natter_connections").await
        })
        .await
    }

    /// What a room keeps, by REST; repeated after 503, as the API asks of its callers.
    pub(crate) async fn history(&self, room: &str) -> Result<Vec<Value>> {
        let url = format!(
            "http://{}/v1/rooms/{room}/messages?limit=1000",
            self.address().await?
        );
        let client = reqwest::Client::builder().timeout(SOON).build()?;
        let answer = eventually("history can be read", SOON, async || {
            let request = client.get(&url).header("X-API-Key", Self::API_KEY);
            let answer = request.send().await?;
            ensure!(answer.status() != reqwest::StatusCode::SERVICE_UNAVAILABLE, "503");
            Ok(answer)
        })
        .await?;
        let answer: Value = serde_json::from_str(&answer.error_for_status()?.text().await?)?;
        let messages = answer["messages"].as_array().cloned();
        messages.with_context(|| format!("no messages in {answer}"))
    }

    /// What the operator makes for it, as `kind/name`; what Kubernetes makes of that is left out.
    pub(crate) async fn objects(&self) -> Result<Vec<String>> {
        let made = ["replicaset", "pod/", "persistentvolumeclaim"];
        let mut all = self.belongings().await?;
        all.retain(|name| !made.iter().any(|kind| name.starts_with(kind)));
        Ok(all)
    }

    /// Deletes the object and waits until it is gone.
    pub(crate) async fn delete(&self) -> Result<()> {
        super::delete(&self.namespace, "chatcluster", &self.name).await
    }

    /// Names, with their kinds, of everything that is labelled as its own.
    pub(crate) async fn belongings(&self) -> Result<Vec<String>> {
        let kinds = "serviceaccounts,configmaps,services,networkpolicies,poddisruptionbudgets,statefulsets,deployments,\
                     replicasets,jobs,pods,persistentvolumeclaims,podmonitors.monitoring.coreos.com,\
                     prometheusrules.monitoring.coreos.com";
        let labels = format!("app.kubernetes.io/instance={}", self.name);
        let args = [
            "get",
            kinds,
            "--namespace",
            &self.namespace,
            "--selector",
            &labels,
        ];
        let names = kubectl(&[&args[..], &["--output=name"]].concat()).await?;
        Ok(names.lines().map(str::to_owned).collect())
    }
}

/// A condition that is about the object's present spec.
fn condition(object: &Value, kind: &str) -> Result<Value> {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions
        .into_iter()
        .find(|condition| condition["type"] == kind)
        .with_context(|| format!("there is no such condition: {status}"))?;
    ensure!(
        condition["observedGeneration"] == object["metadata"]["generation"],
        "the status is about a former spec: {status}"
    );
    Ok(condition.clone())
}

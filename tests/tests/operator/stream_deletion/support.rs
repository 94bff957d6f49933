//! The Job of a cluster that is deleted, and the streams that it is about.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use natter_operator::build::STREAM_DELETION;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;

use crate::support::{LIMIT, Scenario};

/// A pod that is to delete streams.
pub(super) struct Going {
    pub(super) job: String,
    pub(super) pod: String,
    object: Pod,
}

impl Going {
    /// Waits for the only one that has not ended.
    pub(super) async fn wait(scenario: &Scenario, cluster: &str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
        let labels =
            format!("app.kubernetes.io/instance={cluster},app.kubernetes.io/component={STREAM_DELETION}");
        eventually("one pod deletes streams", LIMIT, async || {
            let found = pods.list(&ListParams::default().labels(&labels)).await?.items;
            let mut running = found
                .into_iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none());
            let (Some(object), None) = (running.next(), running.next()) else {
                bail!("none, or several");
            };
            Ok(Self {
                job: object.labels().get("job-name").cloned().context("no Job")?,
                pod: object.name_any(),
                object,
            })
        })
        .await
    }

    pub(super) fn image(&self) -> Result<String> {
        let spec = self.object.spec.as_ref().context("no spec")?;
        spec.containers[0].image.clone().context("no image")
    }

    /// Does what its container is to do, with the very configuration and arguments; gives what it printed.
    pub(super) async fn run(&self, scenario: &Scenario) -> Result<Vec<String>> {
        let spec = self.object.spec.as_ref().context("no spec")?;
        let mut volumes = spec.volumes.iter().flatten();
        let map = volumes.find_map(|volume| volume.config_map.as_ref());
        let maps: Api<ConfigMap> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
        let map = maps.get(&map.context("it mounts no ConfigMap")?.name).await?;
        let config = map.data.unwrap_or_default().remove("gateway.yaml");
        let args = spec.containers[0].args.clone().unwrap_or_default();
        let args: Vec<_> = args
            .iter()
            .map(|arg| {
                if arg == "/etc/natter/gateway.yaml" {
                    "{config}"
                } else {
                    arg
                }
            })
            .collect();
        let finished = Gateway::builder()
            .config(&config.context("no configuration")?)
            .run(&args, LIMIT)
            .await?;
        ensure!(finished.status.success(), "{finished:?}");
        Ok(finished.stdout)
    }
}

/// Waits until nothing is left of a cluster, nor the cluster itself.
pub(super) async fn left(scenario: &Scenario, cluster: &str) -> Result<()> {
    eventually("nothing is left", LIMIT, async || {
        let found = scenario.clusters().get_opt(cluster).await?;
        ensure!(found.is_none(), "{found:?}");
        let names = scenario.objects().names().await?;
        ensure!(names.is_empty(), "{names:?}");
        Ok(())
    })
    .await
}

/// Streams as gateways leave them.
pub(super) mod streams {
    use anyhow::{Result, ensure};
    use natter_tests::nats::NatsServer;
    use serde_json::{Value, json};

    pub(crate) async fn make(nats: &NatsServer, names: &[&str]) -> Result<()> {
        let client = async_nats::connect(nats.url()).await?;
        for name in names {
            let metadata = json!({"natter-settings": "0"});
            let stream = json!({"name": name, "subjects": [format!("{name}.>")], "metadata": metadata});
            let answer = client
                .request(format!("$JS.API.STREAM.CREATE.{name}"), stream.to_string().into())
                .await?;
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            ensure!(answer.get("error").is_none(), "{answer}");
        }
        Ok(())
    }

    pub(crate) async fn names(nats: &NatsServer) -> Result<Vec<String>> {
        let client = async_nats::connect(nats.url()).await?;
        let answer = client.request("$JS.API.STREAM.NAMES", "".into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        let names = answer["streams"].as_array().into_iter().flatten();
        Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

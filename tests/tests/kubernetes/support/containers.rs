//! What runs in the pods of gateways, and what they say of themselves.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Chat, raw};

/// A gateway's container: another one has another id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pod: String,
    id: String,
}

impl Chat {
    /// The containers of all gateways; those that are ready run for the first time.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>> {
        let pods = self.gateway_pods().await?;
        let containers = pods.iter().filter_map(|pod| {
            let statuses = pod["status"]["containerStatuses"].as_array()?;
            let status = statuses.iter().find(|status| status["ready"] == true)?;
            Some((pod, status))
        });
        containers
            .map(|(pod, status)| {
                ensure!(status["restartCount"] == 0, "a gateway was restarted: {status}");
                let text = |value: &Value| value.as_str().map(str::to_owned).context("a name is missing");
                Ok(Container {
                    pod: text(&pod["metadata"]["name"])?,
                    id: text(&status["containerID"])?,
                })
            })
            .collect()
    }

    /// The body of `/readyz` of each gateway that is ready.
    pub(crate) async fn readiness(&self) -> Result<Vec<Value>> {
        let mut bodies = Vec::new();
        for pod in self.gateways().await? {
            let path = format!(
                "/api/v1/namespaces/{}/pods/{pod}:9000/proxy/readyz",
                self.namespace
            );
            bodies.push(serde_json::from_str(&raw(&path).await?)?);
        }
        Ok(bodies)
    }
}

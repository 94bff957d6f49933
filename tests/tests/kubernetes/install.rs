//! What a user does: installs the chart, applies the example, asks `helm test` whether chat works.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::support::{Chat, START, helm, kubectl, operator, scenario};

#[tokio::test]
async fn the_example_gives_chat() -> Result<()> {
    scenario("example", async |namespace| {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/chatcluster-minimal.yaml");
        let example = format!("--filename={}", example.display());
        kubectl(&["apply", "--namespace", namespace, &example]).await?;
        let chat = Chat::named(namespace, "chat");
        chat.wait_settled(START).await?;
        let (gateways, servers) = (chat.gateways().await?, chat.servers().await?);
        ensure!(
            gateways.len() == 2 && servers.len() == 3,
            "{gateways:?} and {servers:?} run"
        );

        // The chart's test talks to the ChatCluster that its values name.
        let values = format!("test.urls={{ws://chat.{namespace}.svc}}");
        operator::configure(&values).await?;
        // It fails unless the probe of the gateway's own image succeeds; a pod that did is removed with its log.
        let said = helm(&["test", operator::RELEASE, "--namespace", operator::NAMESPACE]).await?;
        ensure!(said.contains("Succeeded"), "{said}");

        let columns = kubectl(&["get", "chat", "chat", "--namespace", namespace]).await?;
        ensure!(columns.contains("2/2") && columns.contains("3/3"), "{columns}");
        Ok(())
    })
    .await
}

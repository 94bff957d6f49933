//! What a user does: installs the chart, applies an example, asks `helm test` whether chat works.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::support::{Chat, START, helm, kubectl, operator, scenario};

#[tokio::test]
async fn an_example_gives_chat() -> Result<()> {
    scenario("example", async |namespace| {
        apply_example(namespace, "minimal", &[]).await?;
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
        let release = ["test", operator::RELEASE, "--namespace", operator::NAMESPACE];
        let said = helm(&[&release[..], &["--logs"]].concat()).await?;
        ensure!(said.contains("receive it at the other socket: after"), "{said}");

        let columns = kubectl(&["get", "chat", "chat", "--namespace", namespace]).await?;
        ensure!(columns.contains("2/2") && columns.contains("3/3"), "{columns}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_other_examples_are_accepted() -> Result<()> {
    scenario("examples", async |namespace| {
        for name in ["autoscaling", "httproute", "production"] {
            // What they refer to is not here, so nothing is made of them.
            apply_example(namespace, name, &["--dry-run=server"]).await?;
        }
        Ok(())
    })
    .await
}

async fn apply_example(namespace: &str, name: &str, flags: &[&str]) -> Result<()> {
    let file = format!("../docs/examples/chatcluster-{name}.yaml");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let file = format!("--filename={}", file.display());
    let args = ["apply", "--namespace", namespace, &file];
    kubectl(&[&args[..], flags].concat()).await.map(drop)
}

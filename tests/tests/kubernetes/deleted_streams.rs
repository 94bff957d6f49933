//! `deletionPolicy: Delete` on a NATS that is somebody else's: the streams of the cluster go with it and no others do; and a
//! cluster whose NATS is away goes without them when it is told to.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Chat, Clients, ExternalNats, SOON, START, get, kubectl, list, scenario};

/// Waits until nothing that is labelled as the cluster's is there.
async fn nothing_is_left(chat: &Chat) -> Result<()> {
    eventually("nothing is left", START, async || {
        let left = chat.belongings().await?;
        ensure!(left.is_empty(), "{left:?}");
        anyhow::Ok(())
    })
    .await
}

async fn finalizers(namespace: &str, name: &str) -> Result<Value> {
    Ok(get(namespace, "chatcluster", name).await?["metadata"]["finalizers"].clone())
}

/// Stores messages in a room of a cluster; gives what it keeps.
async fn talk(chat: &Chat) -> Result<Vec<Value>> {
    let clients = Clients::join(chat, Chat::ROOM, 5).await?;
    clients.progress(20, SOON).await?;
    let summary = clients.finish().await?;
    let stored = chat.history(Chat::ROOM).await?;
    ensure!(
        stored.len() as u64 == summary.acknowledged,
        "{} are stored, {summary:?}",
        stored.len()
    );
    Ok(stored)
}

#[tokio::test]
async fn only_the_streams_of_a_deleted_cluster_go_from_an_external_nats() -> Result<()> {
    scenario("deleted-streams", async |namespace| {
        let nats = ExternalNats::start(namespace).await?;
        let spec = |policy: &str| {
            let mut spec = Chat::spec(2, 1);
            spec["bus"] = nats.bus();
            spec["deletionPolicy"] = json!(policy);
            spec
        };
        let chat = Chat::start(namespace, "chat", &spec("Delete")).await?;
        let other = Chat::start(namespace, "chat-2", &spec("Retain")).await?;
        ensure!(finalizers(namespace, "chat").await? == json!(["natter.dev/streams"]));
        ensure!(finalizers(namespace, "chat-2").await?.is_null());
        let (stored, kept) = (talk(&chat).await?, talk(&other).await?);
        ensure!(!stored.is_empty() && !kept.is_empty());

        chat.delete().await?;
        let note = chat.wait_event("StreamsDeleted", SOON).await?;
        ensure!(note.contains(&format!("{namespace}=chat_*")), "{note}");
        nothing_is_left(&chat).await?;
        ensure!(
            other.history(Chat::ROOM).await? == kept,
            "the messages of chat-2 are gone"
        );
        let chat = Chat::start(namespace, "chat", &spec("Delete")).await?;
        let found = chat.history(Chat::ROOM).await?;
        ensure!(
            found.is_empty(),
            "{} messages outlived their cluster",
            found.len()
        );

        nats.stop().await?;
        let args = [
            "delete",
            "chatcluster",
            "chat",
            "--namespace",
            namespace,
            "--wait=false",
        ];
        kubectl(&args).await?;
        chat.wait_reason("Reconciling", "DeletingStreams", Duration::from_mins(2))
            .await?;
        let job = "app.kubernetes.io/instance=chat,app.kubernetes.io/component=stream-deletion";
        eventually("a pod tries", START, async || {
            let pods = list(namespace, "pods", job).await?;
            ensure!(
                pods.iter().any(|pod| pod["status"]["phase"] == "Running"),
                "{pods:?}"
            );
            anyhow::Ok(())
        })
        .await?;
        chat.patch(&json!({ "deletionPolicy": "Retain" })).await?;
        let note = chat.wait_event("Retained", SOON).await?;
        ensure!(note.contains(&format!("{namespace}=chat_*")), "{note}");
        nothing_is_left(&chat).await?;
        nats.start_again().await
    })
    .await
}

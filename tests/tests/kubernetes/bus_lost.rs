//! A NATS server dies: clients stay where they are, and everything that was acknowledged arrives.

use anyhow::{Result, ensure};

use crate::support::{Chat, Clients, SOON, START, delete, kill, scenario};

#[tokio::test]
async fn no_client_notices_that_a_nats_server_dies() -> Result<()> {
    scenario("bus-lost", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 3)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(50, SOON).await?;
        // Without a word, and then with its pod: each server may be the one that leads the stream.
        for server in chat.servers().await? {
            kill(namespace, &server, "nats").await?;
            clients.progress(50, START).await?;
            chat.wait_settled(START).await?;
        }
        delete(namespace, "pod", "chat-nats-0").await?;
        clients.progress(50, START).await?;
        chat.wait_settled(START).await?;
        let summary = clients.finish().await?;
        ensure!(summary.reconnects == 0, "{summary:?}");
        Ok(())
    })
    .await
}

//! Clients of the official JavaScript SDK that count (`tests/sdk/cluster.mjs`).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::node;
use natter_tests::script::Script;
use serde_json::Value;

use super::Chat;

/// From the start of the script until every client is in its room.
const JOIN: Duration = Duration::from_mins(1);
/// After `stop`; the script itself gives up after 60 s, twice.
const FINISH: Duration = Duration::from_secs(130);

/// Members of one room, and a backend that publishes into it.
pub(crate) struct Clients {
    script: Script,
}

/// Connections beyond the budget that may fall into one second. A worker of a gateway closes each connection somewhere in a share
/// of its own of the whole time: a second whose edges cut two shares meets one more than the budget. And a client that is cut
/// waits for up to 0.1 s before it comes back, which moves one more into the second.
const TOLERANCE: u64 = 2;

/// What the clients saw.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Messages, each of which every client has once.
    pub(crate) acknowledged: u64,
    /// Of all clients together.
    pub(crate) reconnects: u64,
    /// Of the client that had most.
    pub(crate) most_reconnects: u64,
    /// The most cuts within any second.
    peak_cuts: u64,
    /// The most returns within any second.
    peak_returns: u64,
}

impl Summary {
    /// No second had more cuts or returns than `budget` allows to gateways of one worker.
    pub(crate) fn keeps(&self, budget: u64) -> Result<()> {
        ensure!(
            self.peak_cuts.max(self.peak_returns) <= budget + TOLERANCE,
            "the budget is {budget} a second: {self:?}"
        );
        Ok(())
    }
}

impl Clients {
    /// Starts them and waits until all are in the room.
    pub(crate) async fn join(chat: &Chat, room: &str, clients: u32) -> Result<Self> {
        let (address, clients) = (chat.address().await?, clients.to_string());
        let env = [
            ("NATTER_URLS", format!("ws://{address}/connection/websocket")),
            ("NATTER_HTTP", format!("http://{address}")),
            ("NATTER_API_KEY", Chat::API_KEY.to_owned()),
            ("NATTER_ROOM", room.to_owned()),
            ("NATTER_CLIENTS", clients),
        ];
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let script = node::start("sdk/cluster.mjs", &[], &env)?;
        script
            .expect_json(|line| line["event"] == "subscribed", JOIN)
            .await?;
        Ok(Self { script })
    }

    /// Waits until every client received so many messages more than now.
    pub(crate) async fn progress(&self, messages: u64, limit: Duration) -> Result<Summary> {
        let before = self.next_progress(limit, 0).await?;
        let goal = number(&before, "received")? + messages;
        summary(&self.next_progress(limit, goal).await?)
    }

    async fn next_progress(&self, limit: Duration, received: u64) -> Result<Value> {
        let fits = |line: &Value| line["event"] == "progress" && line["received"].as_u64() >= Some(received);
        self.script.expect_json(fits, limit).await
    }

    /// Ends publishing; every message must have reached every client once.
    pub(crate) async fn finish(self) -> Result<Summary> {
        self.script.send_line("stop")?;
        let ended = self
            .script
            .expect_json(
                |line| line["event"] == "summary" || line["event"] == "failed",
                FINISH,
            )
            .await?;
        ensure!(ended["ok"] == true, "the count does not balance: {ended}");
        // Kept by cargo test for failures, and shown by --nocapture.
        println!("clients: {ended}");
        summary(&ended)
    }
}

fn summary(line: &Value) -> Result<Summary> {
    Ok(Summary {
        acknowledged: number(line, "acknowledged")?,
        reconnects: number(line, "reconnects")?,
        most_reconnects: number(line, "mostReconnects")?,
        peak_cuts: number(line, "peakCuts")?,
        peak_returns: number(line, "peakReturns")?,
    })
}

fn number(line: &Value, field: &str) -> Result<u64> {
    line[field]
        .as_u64()
        .with_context(|| format!("no {field} in {line}"))
}

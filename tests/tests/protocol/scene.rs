//! A gateway with a bystander, and what must hold around any misbehaviour.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{Gateway, LogLine, Metrics};
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::raw_member::PATH;

/// The bound of every wait, unless a test has a tighter one.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// From one message of the bystander to the next.
const PACE: Duration = Duration::from_millis(10);

/// What every configuration of this suite begins with. Many wrong keys are tried in it (`limits` has their limit).
const BASE: &str =
    "api: {keys: [natter-tests], wrong_key_limit: 0}\nlog: {level: 'info,natter_gateway=debug'}\n";

/// Starts a gateway with more YAML than the suite's own.
pub(crate) async fn gateway(config: &str) -> Result<Gateway> {
    Gateway::builder()
        .config(&format!("{BASE}{config}"))
        .start()
        .await
}

/// A client that has sent its connect command.
pub(crate) async fn connected(gateway: &Gateway) -> Result<Client> {
    Ok(Client::connected(&gateway.ws_url(), json!({})).await?.0)
}

/// A client in a room.
pub(crate) async fn member(gateway: &Gateway, channel: &str) -> Result<Client> {
    let mut client = connected(gateway).await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": channel } }))
        .await?;
    ensure!(
        reply.get("subscribe").is_some(),
        "joining was answered by {reply}"
    );
    Ok(client)
}

/// Waits until everything that the gateway has accepted before this call has reached `client`, were it meant for it: an
/// own message in a room of its own goes the same way, behind all the others.
pub(crate) async fn settle(client: &mut Client) -> Result<()> {
    static ROOMS: AtomicU64 = AtomicU64::new(0);
    let room = format!("settle-{}", ROOMS.fetch_add(1, Ordering::Relaxed));
    client
        .request(json!({ "subscribe": { "channel": room } }))
        .await?;
    client
        .request(json!({ "publish": { "channel": room, "data": null } }))
        .await?;
    client
        .recv_where(|value| value["push"]["channel"] == *room)
        .await?;
    client
        .request(json!({ "unsubscribe": { "channel": room } }))
        .await?;
    Ok(())
}

/// A gateway on which something bad is about to happen, and somebody who only wants to chat meanwhile.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    bystander: JoinHandle<Result<u64>>,
    done: Arc<AtomicBool>,
}

impl Scene {
    /// Starts the gateway and the bystander.
    pub(crate) async fn open(config: &str) -> Result<Self> {
        let gateway = gateway(config).await?;
        let client = member(&gateway, "bystanders").await?;
        // Workers tell what they count now and then; what comes is to be told apart from this.
        eventually("the bystander is counted", LIMIT, async || {
            let joins = [("command", "subscribe")];
            let metrics = gateway.metrics().await?;
            ensure!(metrics.value("natter_commands_total", &joins) == Some(1.0));
            anyhow::Ok(())
        })
        .await?;
        let done = Arc::new(AtomicBool::new(false));
        let bystander = tokio::spawn(chat(client, done.clone()));
        Ok(Self {
            gateway,
            bystander,
            done,
        })
    }

    /// Remembers counters and log as they are now.
    pub(crate) async fn watch(&self) -> Result<Watch<'_>> {
        Ok(Watch {
            gateway: &self.gateway,
            before: self.gateway.metrics().await?,
            lines: self.gateway.logs().len(),
        })
    }

    /// Writes `bytes` on a fresh connection that was opened with header lines of its own; it is closed with `code`, counted
    /// and logged once.
    pub(crate) async fn refuses(&self, headers: &str, bytes: &[u8], code: u16, kind: &str) -> Result<()> {
        let (mut socket, _) = RawSocket::upgraded_with(self.gateway.public(), PATH, headers).await?;
        let watch = self.watch().await?;
        socket.write(bytes).await?;
        let (got, reason) = socket.read_close().await?;
        ensure!(
            (got, reason.as_str()) == (code, kind),
            "{kind}: closed with {got} {reason}"
        );
        ensure!(
            socket.read_to_end().await?.is_empty(),
            "{kind}: bytes after the close frame"
        );
        watch
            .counted("natter_protocol_errors_total", &[("kind", kind)], 1)
            .await?;
        watch.counted("natter_protocol_errors_total", &[], 1).await?;
        watch.cut(kind, code).await
    }

    /// Ends the bystander's chat: every message arrived once and in order, and the log holds no alarm.
    pub(crate) async fn untroubled(self) -> Result<()> {
        self.untroubled_but("").await
    }

    /// As [`Scene::untroubled`], but for lines with this message.
    pub(crate) async fn untroubled_but(self, message: &str) -> Result<()> {
        self.done.store(true, Ordering::Relaxed);
        let rounds = self.bystander.await?.context("the bystander was troubled")?;
        ensure!(rounds > 0, "the bystander did not chat");
        let alarm = |line: &LogLine| !matches!(line.level(), "INFO" | "DEBUG") && line.message() != message;
        let alarm = self.gateway.logs().into_iter().find(alarm);
        ensure!(alarm.is_none(), "the log holds {alarm:?}");
        Ok(())
    }
}

/// Says numbers and hears each of them next, until told to stop; gives their count.
async fn chat(mut client: Client, done: Arc<AtomicBool>) -> Result<u64> {
    let mut pace = interval(PACE);
    let mut number = 0;
    loop {
        pace.tick().await;
        // Looked at before the round: the last one begins after whatever happened.
        let last = done.load(Ordering::Relaxed);
        let publish = json!({ "publish": { "channel": "bystanders", "data": number } });
        let reply = client.request(publish).await?;
        ensure!(
            reply.get("publish").is_some(),
            "a message was answered by {reply}"
        );
        let push = client.push().await?;
        ensure!(
            push["pub"]["data"] == number,
            "{push} came where {number} was due"
        );
        number += 1;
        if last {
            settle(&mut client).await?;
            ensure!(client.waiting().count() == 0, "a message came twice");
            return Ok(number);
        }
    }
}

/// A point in time to compare counters and log with.
pub(crate) struct Watch<'a> {
    gateway: &'a Gateway,
    before: Metrics,
    lines: usize,
}

impl Watch<'_> {
    /// Waits until a counter has moved by exactly `by` since.
    pub(crate) async fn counted(&self, name: &str, labels: &[(&str, &str)], by: i32) -> Result<()> {
        let before = self.before.value(name, labels).unwrap_or(0.0);
        let what = format!("{name} {labels:?} moves by {by}");
        eventually(&what, LIMIT, async || {
            let now = self
                .gateway
                .metrics()
                .await
                .map_err(|error| format!("{error:#}"))?;
            let moved = now.value(name, labels).unwrap_or(0.0) - before;
            // Counters are whole numbers far below 2^53.
            #[expect(clippy::float_cmp, reason = "exact in this range")]
            if moved == f64::from(by) {
                Ok(())
            } else {
                Err(format!("it moved by {moved}"))
            }
        })
        .await
    }

    /// Counts one ending for `reason`, and nothing else that ended.
    pub(crate) async fn ended(&self, reason: &str) -> Result<()> {
        self.counted("natter_disconnects_total", &[("reason", reason)], 1)
            .await?;
        self.counted("natter_disconnects_total", &[], 1).await
    }

    /// Waits for a line with a level, a message and fields.
    pub(crate) async fn logged(
        &self,
        level: &str,
        message: &str,
        fields: &[(&str, Value)],
    ) -> Result<LogLine> {
        let fits = |line: &LogLine| {
            let fits = |(name, value): &(&str, Value)| line.field(name) == Some(value);
            line.level() == level && line.message() == message && fields.iter().all(fits)
        };
        let found = self.gateway.wait_log_after(self.lines, fits, LIMIT).await;
        found.with_context(|| format!("{level} {message:?} {fields:?}"))
    }

    /// The line with which a connection is cut for its own fault.
    pub(crate) async fn cut(&self, reason: &str, code: u16) -> Result<()> {
        let fields = [("reason", json!(reason)), ("code", json!(code))];
        self.logged("INFO", "closed the connection", &fields).await?;
        self.ended(reason).await
    }
}

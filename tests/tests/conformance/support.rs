//! A server of one version with one stream on it, as a gateway makes it, and questions to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use natter_gateway::bus::tested_servers;
use natter_tests::nats::{NatsBuilder, NatsServer};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Bound of every wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const STREAM: &str = "c_chat_0";

/// Runs `async fn(&str) -> Result<()>`, which is given a version, on every supported one.
macro_rules! on_every_version {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            use anyhow::Result;

            use crate::support::newest;

            #[tokio::test]
            async fn v2_12() -> Result<()> {
                super::$scenario(&newest("2.12")?).await
            }

            #[tokio::test]
            async fn v2_14() -> Result<()> {
                super::$scenario(&newest("2.14")?).await
            }

            #[tokio::test]
            async fn v2_15() -> Result<()> {
                super::$scenario(&newest("2.15")?).await
            }
        }
    )* };
}
pub(crate) use on_every_version;

/// The newest patch of a minor version that the gateway says it is tested with.
pub(crate) fn newest(minor: &str) -> Result<String> {
    let prefix = format!("{minor}.");
    tested_servers()
        .find(|version| version.starts_with(&prefix))
        .with_context(|| format!("the gateway is not tested with {minor}"))
}

pub(crate) fn builder(version: &str) -> NatsBuilder {
    NatsServer::builder().jetstream().version(version)
}

/// What a gateway makes for a namespace, but for names.
pub(crate) fn settings() -> Value {
    json!({
        "name": STREAM,
        "subjects": ["c.msg.chat.0.>"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": 1,
        "max_msgs_per_subject": 5,
        "max_age": 60_000_000_000_u64,
        "max_bytes": -1,
        "max_msgs": -1,
        "discard": "old",
        "discard_new_per_subject": false,
        "duplicate_window": 60_000_000_000_u64,
        "allow_direct": true,
        "no_ack": false,
        "sealed": false,
        "subject_transform": null,
        "republish": { "src": "c.msg.chat.0.>", "dest": "c.live.chat.0.>" },
        "metadata": { "natter-partitions": "1" },
    })
}

pub(crate) fn stored(room: &str) -> String {
    format!("c.msg.chat.0.{room}")
}

pub(crate) fn live(room: &str) -> String {
    format!("c.live.chat.0.{room}")
}

/// One connection to a server.
pub(crate) struct Wire {
    pub(crate) client: Client,
    /// The server of this connection alone, which ends with it.
    server: Option<NatsServer>,
}

impl Wire {
    /// A server with the stream, changed by `more`.
    pub(crate) async fn start(version: &str, more: &Value) -> Result<Self> {
        let server = builder(version).start().await?;
        let mut wire = Self::connect(&server.url()).await?;
        wire.server = Some(server);
        let info = wire.client.server_info();
        ensure!(info.version == version, "{} runs, not {version}", info.version);
        wire.make(more).await?;
        Ok(wire)
    }

    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        Ok(Self { client, server: None })
    }

    /// The same server, killed and started again.
    pub(crate) async fn after_a_crash(self) -> Result<Self> {
        let server = self.server.context("the server is another's")?;
        server.restart().await?;
        let mut wire = Self::connect(&server.url()).await?;
        wire.server = Some(server);
        Ok(wire)
    }

    /// Makes the stream.
    pub(crate) async fn make(&self, more: &Value) -> Result<()> {
        let mut config = settings();
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        let made = self.api("STREAM.CREATE", &config).await?;
        ensure!(made.get("error").is_none(), "{made}");
        Ok(())
    }

    /// Asks `$JS.API.<verb>.<stream>`.
    pub(crate) async fn api(&self, verb: &str, body: &Value) -> Result<Value> {
        let subject = format!("$JS.API.{verb}.{STREAM}");
        let answer = self.ask(&subject, &[], body.to_string()).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// A question with one answer.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Message> {
        let mut answers = self.send(subject, headers, body).await?;
        next(&mut answers).await
    }

    /// A question; where its answers come.
    pub(crate) async fn send(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Subscriber> {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(inbox.clone()).await?;
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.insert(name, value);
        }
        self.client
            .publish_with_reply_and_headers(subject.to_owned(), inbox, map, body.into())
            .await?;
        Ok(answers)
    }

    /// Publishes into a room; the acknowledgement or the error.
    pub(crate) async fn publish(
        &self,
        room: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Value> {
        let answer = self.ask(&stored(room), headers, body).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// Publishes; the sequence.
    pub(crate) async fn store(&self, room: &str, body: &str) -> Result<u64> {
        let answer = self.publish(room, &[], body.to_owned()).await?;
        answer["seq"].as_u64().with_context(|| answer.to_string())
    }

    /// All answers of a batched direct read, the end not included, and the end.
    pub(crate) async fn read(&self, body: &Value) -> Result<(Vec<Message>, Message)> {
        let subject = format!("$JS.API.DIRECT.GET.{STREAM}");
        let mut answers = self.send(&subject, &[], body.to_string()).await?;
        let mut messages = Vec::new();
        loop {
            let message = next(&mut answers).await?;
            if message.status.is_some() {
                return Ok((messages, message));
            }
            messages.push(message);
        }
    }

    /// How many messages the stream has.
    pub(crate) async fn count(&self) -> Result<u64> {
        let info = self.api("STREAM.INFO", &Value::Null).await?;
        info["state"]["messages"]
            .as_u64()
            .with_context(|| info.to_string())
    }
}

pub(crate) async fn next(subscriber: &mut Subscriber) -> Result<Message> {
    let message = timeout(LIMIT, subscriber.next()).await.context("no message")?;
    message.context("the subscription is over")
}

pub(crate) fn header<'a>(message: &'a Message, name: &'static str) -> Option<&'a str> {
    let headers = message.headers.as_ref()?;
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

pub(crate) fn number(message: &Message, name: &'static str) -> Result<u64> {
    let value = header(message, name).with_context(|| format!("no {name}: {:?}", message.headers))?;
    Ok(value.parse()?)
}

pub(crate) fn status(message: &Message) -> Option<u16> {
    message.status.map(|status| status.as_u16())
}

pub(crate) fn sequences(messages: &[Message]) -> Result<Vec<u64>> {
    let sequence = |message| number(message, "Nats-Sequence");
    messages.iter().map(sequence).collect()
}

/// Number and text of an error.
pub(crate) fn error(answer: &Value) -> (u64, &str) {
    let error = &answer["error"];
    (
        error["err_code"].as_u64().unwrap_or(0),
        error["description"].as_str().unwrap_or_default(),
    )
}

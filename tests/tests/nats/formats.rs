//! Gateways of two versions share the bus in every roll: what a gateway says is recorded, and what was recorded of a
//! format is understood as long as a gateway promises it (its own format and the one before).
//!
//! `tests/fixtures/bus/format-1.json` holds the messages of a small scene. When a gateway says something else than what
//! is recorded there, the format has to be raised and recorded beside it: `NATTER_RECORD=1 cargo test -p natter-tests
//! --test nats formats` writes the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use async_nats::{HeaderMap, Message, Subscriber};
use futures_util::StreamExt;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    LIMIT, PREFIX, builder, call, connect, expect, is_temporary, member, publish, user, wait_bus, wait_names,
};

const ROOMS: &str = "rooms:
  default: { subscribe: anyone, publish: anyone }
  namespaces:
    - { name: kept, subscribe: anyone, publish: anyone, history: { read: anyone } }
";

/// One message as NATS carried it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recorded {
    subject: String,
    headers: BTreeMap<String, String>,
    payload: Value,
}

impl Recorded {
    fn of(message: &Message) -> Result<Self> {
        let headers = message.headers.iter().flat_map(HeaderMap::iter);
        Ok(Self {
            subject: message.subject.to_string(),
            headers: headers
                .map(|(name, values)| {
                    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                    (name.to_string(), values.join(","))
                })
                .collect(),
            payload: serde_json::from_slice(&message.payload)?,
        })
    }

    /// Says it again, as a gateway of that time would.
    async fn replay(&self, nats: &async_nats::Client) -> Result<()> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(name.as_str(), value.as_str());
        }
        let payload = self.payload.to_string().into();
        nats.publish_with_headers(self.subject.clone(), headers, payload)
            .await?;
        Ok(nats.flush().await?)
    }

    /// What must not change within a format: names and types, not ids, times and numbers.
    fn shape(&self) -> Value {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "Natter-Format" => json!([name, value]),
                "Natter-Info" | "Natter-Tags" => {
                    json!([name, shape(&serde_json::from_str(value).unwrap_or_default())])
                }
                _ => json!(name),
            })
            .collect();
        json!({ "subject": self.subject, "headers": headers, "payload": shape(&self.payload) })
    }
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                (
                    name.clone(),
                    if name == "format" {
                        value.clone()
                    } else {
                        shape(value)
                    },
                )
            })
            .collect(),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("boolean"),
        Value::Null => Value::Null,
    }
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bus/format-1.json"))
}

fn recorded() -> Result<BTreeMap<String, Recorded>> {
    let text = std::fs::read(file()).with_context(|| file().display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

async fn start(name: &str, nats: &NatsServer) -> Result<Gateway> {
    let gateway = builder(name, &nats.url(), ROOMS).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

/// Until a message that `is` what is looked for passes.
async fn find(bus: &mut Subscriber, is: impl Fn(&Recorded) -> bool) -> Result<Recorded> {
    let found = async {
        loop {
            let message = bus.next().await.context("the subscription ended")?;
            // Questions of the join barrier carry their number, which is no JSON object.
            match Recorded::of(&message) {
                Ok(message) if is(&message) => return Ok(message),
                _ => {}
            }
        }
    };
    timeout(LIMIT, found).await.context("it was not said")?
}

/// Plays the scene and takes down what a gateway says of it on the bus.
async fn record() -> Result<BTreeMap<String, Recorded>> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateway = start("a", &nats).await?;
    let mut bus = async_nats::connect(nats.url())
        .await?
        .subscribe(format!("{PREFIX}.>"))
        .await?;
    let mut said = BTreeMap::new();
    let mut client = member(&gateway, "room").await?;
    let mut keep = async |name: &str, is: &dyn Fn(&Recorded) -> bool| -> Result<()> {
        let message = find(&mut bus, is).await.with_context(|| name.to_owned())?;
        said.insert(name.to_owned(), message);
        Ok(())
    };
    let control =
        |name: &'static str| move |message: &Recorded| message.payload["message"].get(name).is_some();
    let order = |name: &'static str| {
        move |message: &Recorded| message.payload["message"]["order"].get(name).is_some()
    };
    publish(&mut client, "room", json!({ "text": "from a client" })).await?;
    keep("publication of a client", &|message| {
        message.subject.contains(".eph.")
    })
    .await?;
    let tagged =
        json!({ "channel": "room", "data": { "text": "from a backend" }, "tags": { "kind": "note" } });
    call(&gateway, "publish", tagged).await?;
    keep("publication of a backend", &|message| {
        message.subject.contains(".eph.")
    })
    .await?;
    let keyed = json!({ "channel": "kept:room", "data": { "text": "kept" }, "idempotency_key": "1" });
    call(&gateway, "publish", keyed).await?;
    keep("stored publication", &|message| message.subject.contains(".msg.")).await?;
    keep("live publication", &|message| message.subject.contains(".live.")).await?;
    keep("node", &control("node")).await?;
    call(&gateway, "subscribe", json!({ "user": "ann", "channel": "more" })).await?;
    keep("subscribe", &order("subscribe")).await?;
    call(
        &gateway,
        "unsubscribe",
        json!({ "user": "ann", "channel": "more" }),
    )
    .await?;
    keep("unsubscribe", &order("unsubscribe")).await?;
    let disconnect = json!({ "user": "ann", "disconnect": { "code": 4321, "reason": "enough" } });
    call(&gateway, "disconnect", disconnect).await?;
    keep("disconnect", &order("disconnect")).await?;
    call(&gateway, "channels", json!({ "pattern": "*" })).await?;
    keep("count rooms", &control("count_rooms")).await?;
    gateway.terminate()?;
    keep("leaving", &|message| message.payload["message"] == "leaving").await?;
    Ok(said)
}

#[tokio::test]
async fn what_is_said_is_what_was_recorded() -> Result<()> {
    let said = record().await?;
    if std::env::var_os("NATTER_RECORD").is_some() {
        std::fs::write(file(), serde_json::to_string_pretty(&said)? + "\n")?;
    }
    let shapes = |messages: &BTreeMap<String, Recorded>| -> BTreeMap<String, Value> {
        messages
            .iter()
            .map(|(name, message)| (name.clone(), message.shape()))
            .collect()
    };
    assert_eq!(
        shapes(&said),
        shapes(&recorded()?),
        "raise the format and record it beside this one"
    );
    Ok(())
}

#[tokio::test]
async fn what_was_recorded_is_understood() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateway = start("b", &nats).await?;
    let stranger = async_nats::connect(nats.url()).await?;
    let said = recorded()?;
    let (mut ann, mut kept) = (user(&gateway, "ann").await?, kept(&gateway).await?);
    let again = async |name: &str| {
        said[name]
            .replay(&stranger)
            .await
            .with_context(|| name.to_owned())
    };

    let mut client = member(&gateway, "room").await?;
    again("publication of a client").await?;
    expect(&mut client, "room", &json!({ "text": "from a client" })).await?;
    again("publication of a backend").await?;
    let push = client.push().await?;
    assert_eq!(push["pub"]["data"], json!({ "text": "from a backend" }), "{push}");
    assert_eq!(push["pub"]["tags"], json!({ "kind": "note" }), "{push}");
    again("stored publication").await?;
    expect(&mut kept, "kept:room", &json!({ "text": "kept" })).await?;

    again("node").await?;
    wait_names(&gateway, &["a", "b"], LIMIT).await?;
    again("leaving").await?;
    wait_names(&gateway, &["b"], LIMIT).await?;

    again("subscribe").await?;
    assert!(ann.push().await?.get("subscribe").is_some());
    again("unsubscribe").await?;
    assert_eq!(ann.push().await?["unsubscribe"]["code"], 2000);
    again("disconnect").await?;
    assert_eq!(ann.close_frame().await?, (4321, "enough".to_owned()));

    answers_a_survey(&gateway, &stranger, &said["count rooms"]).await?;
    let undecodable = [("kind", "undecodable")];
    let counted = gateway
        .metrics()
        .await?
        .value("natter_bus_errors_total", &undecodable);
    assert!(
        counted.is_none_or(|count| count < 0.5),
        "{counted:?} were not understood"
    );
    Ok(())
}

/// Asked as the recorded gateway asked, with the address of somebody who listens.
async fn answers_a_survey(gateway: &Gateway, nats: &async_nats::Client, question: &Recorded) -> Result<()> {
    let asker = question.payload["from"]
        .as_str()
        .context("from whom?")?
        .replace('-', "");
    let mut answers = nats.subscribe(format!("{PREFIX}.ctl.node.{asker}")).await?;
    nats.flush().await?;
    question.replay(nats).await?;
    let answer = find(&mut answers, |message| {
        message.payload["message"].get("room_counts").is_some()
    })
    .await?;
    let counts = &answer.payload["message"]["room_counts"];
    assert_eq!(
        counts["survey"],
        question.payload["message"]["count_rooms"]["survey"]
    );
    assert_eq!(counts["rooms"]["room"], 1, "{answer:?} of {}", gateway.http_url());
    Ok(())
}

/// A member of the durable room; its stream may still be in the making.
async fn kept(gateway: &Gateway) -> Result<Client> {
    eventually("the durable room takes members", LIMIT, async || {
        let mut client = connect(gateway).await?;
        let reply = client
            .request(json!({ "subscribe": { "channel": "kept:room" } }))
            .await?;
        ensure!(!is_temporary(&reply), "{reply}");
        Ok(client)
    })
    .await
}

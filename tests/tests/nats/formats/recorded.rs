//! Messages as NATS carried them, kept in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use async_nats::{HeaderMap, Message, Subscriber};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{LIMIT, PREFIX};

/// Fields whose texts are part of the format.
const FIXED: [&str; 3] = ["message", "said", "hearing"];

/// One message as NATS carried it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) subject: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) payload: Value,
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

    /// What a gateway `from` says to the gateway `to`, or to all.
    pub(super) fn control(from: &str, to: Option<&str>, message: &Value) -> Self {
        Self {
            subject: control_subject(to),
            headers: BTreeMap::new(),
            payload: json!({ "format": 1, "from": from, "message": message }),
        }
    }

    /// The same for another gateway.
    pub(super) fn to(&self, node: &str) -> Self {
        Self {
            subject: control_subject(Some(node)),
            ..self.clone()
        }
    }

    /// The same with another value at a place of its payload.
    pub(super) fn with(&self, place: &str, value: &Value) -> Result<Self> {
        let mut changed = self.clone();
        let at = changed.payload.pointer_mut(place);
        *at.with_context(|| format!("there is no {place} in {self:?}"))? = value.clone();
        Ok(changed)
    }

    /// A control message of this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.payload["message"].get(name).is_some()
    }

    /// Says it again, as a gateway of that time would.
    pub(super) async fn replay(&self, nats: &async_nats::Client) -> Result<()> {
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
    pub(super) fn shape(&self) -> Value {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "Natter-Format" | "Natter-Payload" => json!([name, value]),
                "Natter-Info" | "Natter-Tags" => {
                    json!([name, shape(&serde_json::from_str(value).unwrap_or_default())])
                }
                _ => json!(name),
            })
            .collect();
        let subject = match self.subject.split_once(".ctl.node.") {
            Some((prefix, _node)) => format!("{prefix}.ctl.node"),
            None => self.subject.clone(),
        };
        json!({ "subject": subject, "headers": headers, "payload": shape(&self.payload) })
    }
}

/// Where a gateway hears what is said to it, or all do.
fn control_subject(to: Option<&str>) -> String {
    match to {
        Some(node) => format!("{PREFIX}.ctl.node.{}", node.replace('-', "")),
        None => format!("{PREFIX}.ctl.all"),
    }
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let is_fixed = value.is_string() && FIXED.contains(&name.as_str());
                let shape = if is_fixed || name == "format" {
                    value.clone()
                } else {
                    shape(value)
                };
                (name.clone(), shape)
            })
            .collect(),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("boolean"),
        Value::Null => Value::Null,
    }
}

pub(super) fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bus/format-1.json"))
}

pub(super) fn recorded() -> Result<BTreeMap<String, Recorded>> {
    let text = std::fs::read(file()).with_context(|| file().display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// Until a message that `is` what is looked for passes.
pub(super) async fn find(bus: &mut Subscriber, is: impl Fn(&Recorded) -> bool) -> Result<Recorded> {
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

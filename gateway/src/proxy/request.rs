//! What a backend is told: Centrifugo's bodies. What is empty is left out, but for what says whose connection it is.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::wire::{Carrier, Encoding, Wire};

/// Whose connection it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub client: Uuid,
    pub wire: Wire,
    /// Empty: anonymous.
    pub user: &'a str,
    /// What a backend said about the connection.
    pub meta: Option<&'a RawValue>,
}

/// What is asked; unused fields are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    pub channel: &'a str,
    pub method: &'a str,
    /// Of the subscription.
    pub token: &'a str,
    /// Of the SDK, as it introduced itself.
    pub name: &'a str,
    pub version: &'a str,
    /// Rooms that the client was in before.
    pub channels: &'a [&'a str],
    /// `None`: the client sent none. Bytes where the client or the room speaks in them, otherwise JSON.
    pub data: Option<&'a [u8]>,
}

/// The data is no JSON, and the proxy is not one that takes bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data is no JSON, which is what this proxy takes")]
pub struct NoJson;

#[derive(Serialize)]
struct Body<'a> {
    client: Uuid,
    transport: &'static str,
    protocol: &'static str,
    encoding: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    channel: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
}

/// The body of a call. `in_base64`: the proxy takes data as base64.
pub(super) fn body(caller: Caller<'_>, question: Question<'_>, in_base64: bool) -> Result<Bytes, NoJson> {
    let data = question.data.filter(|data| !data.is_empty());
    let body = Body {
        client: caller.client,
        transport: transport(caller.wire.carrier),
        protocol: match caller.wire.encoding {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        },
        encoding: if in_base64 { "binary" } else { "json" },
        user: caller.user,
        channel: question.channel,
        method: question.method,
        token: question.token,
        name: question.name,
        version: question.version,
        channels: question.channels,
        meta: caller.meta,
        data: match data {
            Some(data) if !in_base64 => Some(serde_json::from_slice(data).map_err(|_| NoJson)?),
            _ => None,
        },
        b64data: data
            .filter(|_| in_base64)
            .map(|data| BASE64_STANDARD.encode(data)),
    };
    serde_json::to_vec(&body).map(Bytes::from).map_err(|_| NoJson)
}

fn transport(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::WebSocket => "websocket",
        Carrier::EventStream => "sse",
        Carrier::HttpStream => "http_stream",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(question: Question<'_>, in_base64: bool) -> Result<Value, NoJson> {
        let caller = Caller {
            client: Uuid::nil(),
            wire: Wire::default(),
            user: "ann",
            meta: None,
        };
        body(caller, question, in_base64).map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn data_is_json_or_base64_as_the_proxy_takes_it() {
        let base = |encoding| json!({ "client": Uuid::nil(), "transport": "websocket", "protocol": "json", "encoding": encoding, "user": "ann" });
        let with = |mut base: Value, name: &str, value: Value| {
            base[name] = value;
            base
        };
        assert_eq!(told(Question::default(), false), Ok(base("json")));
        let question = |data| Question {
            data: Some(data),
            ..Question::default()
        };
        assert_eq!(told(question(b""), true), Ok(base("binary")));
        assert_eq!(
            told(question(br#"{"a": 1}"#), false),
            Ok(with(base("json"), "data", json!({ "a": 1 })))
        );
        assert_eq!(
            told(question(b"null"), false),
            Ok(with(base("json"), "data", json!(null)))
        );
        assert_eq!(
            told(question(&[1, 2]), true),
            Ok(with(base("binary"), "b64data", json!("AQI=")))
        );
        assert_eq!(told(question(&[1, 2]), false), Err(NoJson));
    }
}

//! What a backend answers: a result, or an error or a disconnect for the client. Fields that are not known are ignored.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use natter_protocol::{Payload, ReplyBody, payload};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    grant::Grant,
    permission::{Allow, Caps},
    revocation::Credential,
};

/// Longest reason of a close frame in bytes (RFC 6455 section 5.5.1).
const MAX_REASON: usize = 123;
/// What a server may close with of its own (RFC 6455 section 7.4.2).
const DISCONNECT_CODES: std::ops::RangeInclusive<u16> = 3000..=4999;

/// What a backend decides about a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    Result(T),
    Error(Foreign),
    Disconnect { code: u16, reason: String },
}

/// An error of the backend's own, for its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub code: u32,
    pub message: String,
    /// Whether clients try again by themselves.
    pub temporary: bool,
}

/// What some kind of call is answered with.
pub trait Answer: Sized + Send + 'static {
    /// As it is written; all of it may be missing.
    type Written: DeserializeOwned + Default;

    /// Where bytes are not taken, values are JSON on one line.
    fn of(written: Self::Written, takes_bytes: bool) -> Result<Self, Malformed>;
}

impl Foreign {
    /// The code under which such errors are counted.
    pub const COUNTED_AS: u32 = 0;

    pub fn body(&self) -> ReplyBody<'_> {
        ReplyBody::Foreign {
            code: self.code,
            message: &self.message,
            temporary: self.temporary,
        }
    }
}

/// The answer is not what such a call is answered with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{0}")]
    Unreadable(String),
    /// Another client, or another room, would take it.
    #[error("the base64 holds no JSON, which is what the client or the room takes")]
    Bytes,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<WrittenError>,
    disconnect: Option<WrittenDisconnect>,
}

#[derive(Deserialize)]
struct WrittenError {
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
struct WrittenDisconnect {
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Reads an answer; nothing at all is an empty result.
pub(super) fn read<T: Answer>(body: &[u8], takes_bytes: bool) -> Result<Verdict<T>, Malformed> {
    let written: Written<'_> = object(body)?;
    if let Some(WrittenDisconnect { code, reason }) = written.disconnect {
        if !DISCONNECT_CODES.contains(&code) || reason.len() > MAX_REASON {
            return Err(Malformed::Unreadable(format!(
                "nobody can be disconnected with {code}"
            )));
        }
        return Ok(Verdict::Disconnect { code, reason });
    }
    if let Some(error) = written.error {
        if error.code == 0 {
            return Err(Malformed::Unreadable("its error has no code".to_owned()));
        }
        return Ok(Verdict::Error(Foreign {
            code: error.code,
            message: error.message,
            temporary: error.temporary,
        }));
    }
    let result = written.result.map(|result| object(result.get().as_bytes()));
    let result = T::of(result.transpose()?.unwrap_or_default(), takes_bytes)?;
    Ok(Verdict::Result(result))
}

/// Reads a result alone; tokens say the same of connections and subscriptions.
pub fn result<T: Answer>(text: &str, takes_bytes: bool) -> Result<T, Malformed> {
    T::of(object(text.as_bytes())?, takes_bytes)
}

/// A derived reader would also take an array of its values.
fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Malformed> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed::Unreadable("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(text)
        .map_err(|error| Malformed::Unreadable(format!("it is not understood: {error}")))
}

/// A value that the gateway hands on: as JSON, or as base64, which goes first, as in Centrifugo.
pub(super) fn value(
    json: Option<&RawValue>,
    encoded: Option<&str>,
    takes_bytes: bool,
) -> Result<Option<Bytes>, Malformed> {
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else {
        let line = json.map(|json| payload::single_line(json.get()).into_owned());
        return Ok(line.map(Bytes::from));
    };
    let bytes = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| Malformed::Unreadable("what should be base64 is not".to_owned()))?;
    if takes_bytes {
        return Ok(Some(bytes.into()));
    }
    let line = Payload::Bytes(&bytes).json_line();
    line.map(|line| Some(Bytes::from(line.into_owned())))
        .ok_or(Malformed::Bytes)
}

/// A value that is there, `null` included.
pub(super) fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(source).map(Some)
}

/// What the client that called gets; `None`: nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Data(pub Option<Bytes>);

/// What a publication becomes.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// In place of what the client said; `None`: as it said it.
    pub data: Option<Bytes>,
    /// It is not to be kept.
    pub skips_history: bool,
}

/// What a connection is to be.
#[derive(Debug)]
pub struct Connected {
    /// Empty: anonymous, and welcome; `None`: the backend does not say.
    pub user: Option<String>,
    /// When it expires, as a Unix time in seconds; 0: never.
    pub expire_at: u64,
    pub info: Option<Bytes>,
    pub data: Option<Bytes>,
    pub channels: Vec<String>,
    pub subs: BTreeMap<String, Subscribed>,
    pub meta: Option<Arc<RawValue>>,
    /// What it may do beside what namespaces permit; `None`: nothing is said.
    pub caps: Option<Caps>,
}

/// What a subscription is to be.
#[derive(Debug)]
pub struct Subscribed {
    /// As above.
    pub expire_at: u64,
    /// What others in the room are told of the client.
    pub info: Option<Bytes>,
    /// What the client is told.
    pub data: Option<Bytes>,
    pub force_recovery: Option<bool>,
    pub force_positioning: Option<bool>,
    /// What its member may do beside what the namespace permits.
    pub allow: Allow,
    /// What the token said that permits it, if it was one.
    pub token: Option<Arc<Credential>>,
}

impl Subscribed {
    pub fn into_grant(self, channel: &str) -> Grant {
        Grant {
            info: self.info.unwrap_or_default(),
            data: self.data.unwrap_or_default(),
            expire_at: self.expire_at,
            force_recovery: self.force_recovery,
            force_positioning: self.force_positioning,
            allow: self.allow,
            token: self.token,
            ..Grant::of(channel)
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct WrittenConnection {
    user: Option<String>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    channels: Option<Vec<String>>,
    subs: Option<BTreeMap<String, WrittenSubscription>>,
    meta: Option<Box<RawValue>>,
    #[serde(deserialize_with = "present")]
    caps: Option<Box<RawValue>>,
    expire_at: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct WrittenSubscription {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<Overrides>,
    allow: Option<Allow>,
    expire_at: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Overrides {
    force_recovery: Option<Flag>,
    force_positioning: Option<Flag>,
}

#[derive(Deserialize)]
struct Flag {
    #[serde(default)]
    value: bool,
}

fn unix(expire_at: Option<i64>) -> Result<u64, Malformed> {
    let unix = u64::try_from(expire_at.unwrap_or_default());
    unix.map_err(|_| Malformed::Unreadable("its `expire_at` is negative".to_owned()))
}

impl Answer for Connected {
    type Written = WrittenConnection;

    fn of(written: WrittenConnection, takes_bytes: bool) -> Result<Self, Malformed> {
        let subs = written.subs.unwrap_or_default().into_iter();
        let subs = subs.map(|(channel, written)| Ok((channel, Subscribed::of(written, takes_bytes)?)));
        Ok(Self {
            expire_at: unix(written.expire_at)?,
            info: value(written.info.as_deref(), written.b64info.as_deref(), false)?,
            data: value(written.data.as_deref(), written.b64data.as_deref(), takes_bytes)?,
            user: written.user,
            channels: written.channels.unwrap_or_default(),
            subs: subs.collect::<Result<_, Malformed>>()?,
            meta: written.meta.map(Arc::from),
            caps: written.caps.as_deref().map(Caps::read),
        })
    }
}

impl Answer for Subscribed {
    type Written = WrittenSubscription;

    fn of(written: WrittenSubscription, takes_bytes: bool) -> Result<Self, Malformed> {
        let value_of = |flag: Option<Flag>| flag.map(|flag| flag.value);
        let overrides = written.overrides.unwrap_or_default();
        Ok(Self {
            expire_at: unix(written.expire_at)?,
            info: value(written.info.as_deref(), written.b64info.as_deref(), false)?,
            data: value(written.data.as_deref(), written.b64data.as_deref(), takes_bytes)?,
            force_recovery: value_of(overrides.force_recovery),
            force_positioning: value_of(overrides.force_positioning),
            allow: written.allow.unwrap_or_default(),
            token: None,
        })
    }
}

/// What becomes of what has expired; `None`: it ends.
#[derive(Debug)]
pub struct Renewal(pub Option<Renewed>);

/// What is renewed.
#[derive(Debug)]
pub struct Renewed {
    /// As above.
    pub expire_at: u64,
    /// What others are told of the client from now on; `None`: the same.
    pub info: Option<Bytes>,
    /// In place of what was said about the connection; `None`: the same.
    pub meta: Option<Arc<RawValue>>,
    /// As above; of a connection.
    pub caps: Option<Caps>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct WrittenRenewal {
    expired: Option<bool>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    meta: Option<Box<RawValue>>,
    #[serde(deserialize_with = "present")]
    caps: Option<Box<RawValue>>,
    expire_at: Option<i64>,
}

impl Answer for Renewal {
    /// Without a result nothing is renewed.
    type Written = Option<WrittenRenewal>;

    fn of(written: Option<WrittenRenewal>, _takes_bytes: bool) -> Result<Self, Malformed> {
        let Some(written) = written.filter(|written| written.expired != Some(true)) else {
            return Ok(Self(None));
        };
        Ok(Self(Some(Renewed {
            expire_at: unix(written.expire_at)?,
            info: value(written.info.as_deref(), written.b64info.as_deref(), false)?,
            meta: written.meta.map(Arc::from),
            caps: written.caps.as_deref().map(Caps::read),
        })))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct WrittenData {
    #[serde(deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    skip_history: Option<bool>,
}

impl WrittenData {
    fn bytes(&self, takes_bytes: bool) -> Result<Option<Bytes>, Malformed> {
        value(self.data.as_deref(), self.b64data.as_deref(), takes_bytes)
    }
}

impl Answer for Data {
    type Written = WrittenData;

    fn of(written: WrittenData, takes_bytes: bool) -> Result<Self, Malformed> {
        written.bytes(takes_bytes).map(Self)
    }
}

impl Answer for Published {
    type Written = WrittenData;

    fn of(written: WrittenData, takes_bytes: bool) -> Result<Self, Malformed> {
        Ok(Self {
            data: written.bytes(takes_bytes)?,
            skips_history: written.skip_history == Some(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(body: &str) -> Result<Verdict<()>, Malformed> {
        Ok(match read::<Data>(body.as_bytes(), false)? {
            Verdict::Result(_) => Verdict::Result(()),
            Verdict::Error(error) => Verdict::Error(error),
            Verdict::Disconnect { code, reason } => Verdict::Disconnect { code, reason },
        })
    }

    fn data(body: &str, takes_bytes: bool) -> Result<Option<Bytes>, Malformed> {
        match read(body.as_bytes(), takes_bytes)? {
            Verdict::Result(Data(data)) => Ok(data),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_disconnect_goes_before_an_error_and_both_before_a_result() {
        let disconnect = Verdict::Disconnect {
            code: 4500,
            reason: "away".to_owned(),
        };
        let text = r#"{"result": {}, "error": {"code": 1}, "disconnect": {"code": 4500, "reason": "away"}}"#;
        assert_eq!(verdict(text), Ok(disconnect));
        let error = Foreign {
            code: 1000,
            message: "no".to_owned(),
            temporary: true,
        };
        let text =
            r#"{"result": null, "error": {"code": 1000, "message": "no", "temporary": true, "more": 1}}"#;
        assert_eq!(verdict(text), Ok(Verdict::Error(error)));
        for text in [
            "{}",
            r#" {"result": {}}"#,
            r#"{"result": null}"#,
            r#"{"error": null, "x": 1}"#,
        ] {
            assert_eq!(verdict(text), Ok(Verdict::Result(())), "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let long = format!(
            r#"{{"disconnect": {{"code": 4000, "reason": "{}"}}}}"#,
            "x".repeat(124)
        );
        for text in [
            "",
            "ok",
            "[]",
            "null",
            "<html>",
            r#"{"result": []}"#,
            r#"{"result": 7}"#,
            r#"{"error": {}}"#,
            r#"{"error": {"code": 0}}"#,
            r#"{"error": {"code": -1}}"#,
            r#"{"disconnect": {"code": 1000}}"#,
            r#"{"disconnect": {"code": 5000}}"#,
            r#"{"disconnect": {}}"#,
            &long,
            r#"{"result": {}"#,
        ] {
            assert!(verdict(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_expired_ends_unless_the_backend_says_otherwise() {
        let renewed = |body: &str| match read(body.as_bytes(), false).unwrap() {
            Verdict::Result(Renewal(renewed)) => renewed.map(|renewed| renewed.expire_at),
            other => panic!("{other:?}"),
        };
        for text in [
            "{}",
            r#"{"result": null}"#,
            r#"{"result": {"expired": true, "expire_at": 7}}"#,
        ] {
            assert_eq!(renewed(text), None, "{text}");
        }
        assert_eq!(renewed(r#"{"result": {}}"#), Some(0));
        assert_eq!(
            renewed(r#"{"result": {"expire_at": 7, "expired": null}}"#),
            Some(7)
        );
        assert!(read::<Renewal>(br#"{"result": {"expire_at": -1}}"#, false).is_err());
        assert!(read::<Renewal>(br#"{"result": []}"#, false).is_err());
    }

    #[test]
    fn data_is_json_on_one_line_or_base64() {
        let bytes = |text: &str| Ok(Some(Bytes::copy_from_slice(text.as_bytes())));
        assert_eq!(data("{}", false), Ok(None));
        assert_eq!(
            data("{\"result\": {\"data\": {\n\"a\": 1}}}", false),
            bytes("{\"a\": 1}")
        );
        assert_eq!(data(r#"{"result": {"data": null}}"#, false), bytes("null"));
        assert_eq!(
            data(r#"{"result": {"data": 1, "b64data": "eyJhIjoxfQ=="}}"#, false),
            bytes("{\"a\":1}")
        );
        assert_eq!(
            data(r#"{"result": {"b64data": "AQI="}}"#, true),
            Ok(Some(Bytes::from_static(&[1, 2])))
        );
        assert_eq!(
            data(r#"{"result": {"b64data": "AQI="}}"#, false),
            Err(Malformed::Bytes)
        );
        assert!(data(r#"{"result": {"b64data": "??"}}"#, true).is_err());
    }
}

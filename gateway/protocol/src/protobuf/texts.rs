//! What gateways carry as JSON texts and Protobuf has messages for.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{json::field, push::ClientInfo};

/// The text of a [`ClientInfo`], read.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Info<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    user: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    client: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "raw")]
    conn_info: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    chan_info: Option<&'a RawValue>,
}

impl Info<'_> {
    pub(super) fn as_protocol(&self) -> ClientInfo<'_> {
        ClientInfo {
            user: &self.user,
            client: &self.client,
            conn_info: self.conn_info.map(RawValue::get),
            chan_info: self.chan_info.map(RawValue::get),
        }
    }
}

/// `None` when the text is none of a [`ClientInfo`], which gateways do not write.
pub(super) fn info(text: &str) -> Option<Info<'_>> {
    serde_json::from_str(text).ok()
}

/// `None` when the text is no object of strings, which no door lets in.
pub(super) fn tags(text: &str) -> Option<BTreeMap<Cow<'_, str>, Cow<'_, str>>> {
    field::texts(&mut serde_json::Deserializer::from_str(text)).ok()
}

/// A `null` is a value here: serde's own `Option` would take it for absence.
fn raw<'de, D: Deserializer<'de>>(source: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

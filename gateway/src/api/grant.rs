//! A subscription as a backend orders it.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use natter_protocol::{ErrorCode, Payload, payload};
use serde_json::value::RawValue;

use super::{
    connections::expiry,
    refusal::Refusal,
    request::{Call, Override, SubscribeRequest},
};
use crate::{
    grant::{Grant, Since},
    permission::Allow,
    session::time_until,
};

impl Call<'_> {
    /// Reads what the room's policy lets a subscription be.
    pub(super) fn grant(&self, request: &SubscribeRequest<'_>) -> Result<Grant, Refusal> {
        let namespace = self.namespace(&request.channel)?;
        let value = |option: &Option<Override>| option.as_ref().map(|option| option.value);
        let overrides = request.overrides.as_ref();
        let expire_at = expiry(request.expire_at)?;
        if expire_at != 0 && time_until(expire_at).is_none() {
            return Err(ErrorCode::Expired.into());
        }
        Ok(Grant {
            channel: request.channel.clone(),
            expire_at,
            info: opaque("info", request.info, request.b64info.as_deref(), false)?,
            data: opaque(
                "data",
                request.data,
                request.b64data.as_deref(),
                namespace.is_binary(),
            )?,
            recover_since: request.recover_since.as_ref().map(|since| Since {
                offset: since.offset,
                epoch: since.epoch.clone(),
            }),
            force_recovery: overrides.and_then(|options| value(&options.force_recovery)),
            force_positioning: overrides.and_then(|options| value(&options.force_positioning)),
            allow: Allow::NOTHING,
            token: None,
        })
    }
}

/// A value that is carried as it is: JSON on one line, or where they may be any bytes; the base64 form goes first, as in
/// Centrifugo. Empty when there is none.
pub(super) fn opaque(
    name: &str,
    json: Option<&RawValue>,
    encoded: Option<&str>,
    is_binary: bool,
) -> Result<Bytes, Refusal> {
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else {
        let line = json.map(|json| payload::single_line(json.get()).into_owned());
        return Ok(line.unwrap_or_default().into());
    };
    let bytes = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| Refusal::bad(format!("`b64{name}` is not base64")))?;
    if is_binary {
        return Ok(bytes.into());
    }
    let line = Payload::Bytes(&bytes).json_line();
    line.map(|line| line.into_owned().into())
        .ok_or_else(|| Refusal::bad(format!("`b64{name}` holds no JSON")))
}

//! Calls that act on connections, wherever in the cluster they are.

use natter_protocol::{DisconnectCode, ErrorCode};
use serde_json::json;

use super::{
    Answer,
    grant::opaque,
    json_text,
    refusal::Refusal,
    request::{
        Call, DisconnectReason, DisconnectRequest, RefreshRequest, SubscribeRequest, UnsubscribeRequest,
    },
};
use crate::cluster::Order;

/// Close codes that a backend may choose: those of applications (RFC 6455 section 7.4.2 leaves 4000–4999 to them) and
/// the protocol's own.
const CHOOSABLE: std::ops::RangeInclusive<u16> = 3000..=4999;
/// Longest reason of a close frame in bytes (RFC 6455 section 5.5 leaves 123).
const MAX_REASON: usize = 123;

impl Call<'_> {
    pub(super) fn disconnect(&self, request: &DisconnectRequest) -> Answer {
        let target = request.target.target().ok_or(ErrorCode::BadRequest)?;
        let default = DisconnectCode::ForceNoReconnect;
        let DisconnectReason { code, reason } =
            request.disconnect.clone().unwrap_or_else(|| DisconnectReason {
                code: default.code(),
                reason: default.reason().to_owned(),
            });
        if !CHOOSABLE.contains(&code) || reason.len() > MAX_REASON {
            return Err(ErrorCode::BadRequest.into());
        }
        self.order(Order::Disconnect {
            target,
            whitelist: request.whitelist.clone(),
            code,
            reason,
        })
    }

    pub(super) fn subscribe(&self, request: &SubscribeRequest<'_>) -> Answer {
        let target = request.target().ok_or(ErrorCode::BadRequest)?;
        let grant = self.grant(request)?;
        self.order(Order::Subscribe { target, grant })
    }

    pub(super) fn refresh(&self, request: &RefreshRequest<'_>) -> Answer {
        let target = request.target().ok_or(ErrorCode::BadRequest)?;
        self.order(Order::Refresh {
            target,
            expired: request.expired,
            expire_at: expiry(request.expire_at)?,
            info: opaque("info", request.info, None, false)?,
        })
    }

    pub(super) fn unsubscribe(&self, request: UnsubscribeRequest) -> Answer {
        let target = request.target.target().ok_or(ErrorCode::BadRequest)?;
        let channel = (!request.channel.is_empty()).then_some(request.channel);
        self.order(Order::Unsubscribe { target, channel })
    }

    fn order(&self, order: Order) -> Answer {
        self.gateway.cluster.order(self.gateway, order)?;
        Ok(json_text(&json!({})))
    }
}

/// A Unix time in seconds; 0: never.
pub(super) fn expiry(expire_at: i64) -> Result<u64, Refusal> {
    u64::try_from(expire_at).map_err(|_| Refusal::bad("`expire_at` is no Unix time"))
}

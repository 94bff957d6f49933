//! Calls that act on connections, wherever in the cluster they are.

use natter_protocol::{DisconnectCode, ErrorCode};
use serde_json::json;

use super::{
    Answer, json_text,
    request::{Call, DisconnectReason, DisconnectRequest, SubscribeRequest, UnsubscribeRequest},
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

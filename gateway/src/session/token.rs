//! Tokens that a client brings: with the connect command, to join a room, and to renew either before it ends. What a token
//! says goes before what the room's namespace would permit to anybody.

use std::{rc::Rc, sync::Arc};

use natter_protocol::{
    DisconnectCode, ErrorCode, RefreshRequest, ReplyBody, SubRefreshRequest, SubscribeRequest,
};

use super::{
    Ending, ReplySlot, Session, Wish,
    expiry::{Expiring, told},
};
use crate::{
    admission::{Admission, Denial, Verdict},
    channel::Channel,
    gateway::Live,
    proxy::Subscribed,
    token::{Checked, ConnectionToken, SubscriptionToken, TokenError},
    wire::Encoding,
    worker::Worker,
};

impl Session {
    /// What a token says that the connection is to be.
    pub(super) fn connect_by_token(&self, worker: &Worker, token: &str) -> Verdict {
        let live = worker.gateway.live();
        let vouched: Arc<str> = self.user().into();
        match worker.gateway.tokens.connection(token) {
            Checked::Now(result) => Verdict::Now(admitted(&live, vouched, result)),
            Checked::Later(result) => {
                Verdict::Later(Box::pin(async move { admitted(&live, vouched, result.await) }))
            }
        }
    }

    /// Renews the connection with a new token of the same user.
    pub(super) fn refresh(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &RefreshRequest<'_>) {
        if request.token.is_empty() {
            return self.refuse(worker, "missing_token");
        }
        if Expiring::Connection.proxy(worker).is_some() {
            return self.refuse(worker, "server_refreshes");
        }
        let slot = self.defer_reply(id);
        match worker.gateway.tokens.connection(&request.token) {
            Checked::Now(result) => self.refreshed(worker, slot, result),
            Checked::Later(result) => self.wait(worker, slot, result, move |session, worker, result| {
                session.refreshed(worker, slot, result);
            }),
        }
    }

    fn refreshed(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        result: Result<ConnectionToken, TokenError>,
    ) {
        let (credential, connected, claims) = match result {
            Ok(token) => (token.credential(), token.connected, token.claims),
            Err(TokenError::Unreachable) => {
                return self.complete_refused(worker, slot, "refresh", ErrorCode::Internal);
            }
            Err(TokenError::Expired | TokenError::Early) => {
                return self.end(worker, &Ending::Disconnect(DisconnectCode::Expired));
            }
            Err(_) => return self.end(worker, &Ending::Disconnect(DisconnectCode::InvalidToken)),
        };
        if connected.user.as_deref().unwrap_or_default() != self.user() {
            return self.end(worker, &Ending::Disconnect(DisconnectCode::InvalidToken));
        }
        if let Err(denial) = self.check_connection(worker, Some(&credential)) {
            return self.end(worker, &denial.ending());
        }
        self.note_token(Some(credential));
        if self.set_expiry(worker, connected.expire_at).is_err() {
            return self.end(worker, &Ending::Disconnect(DisconnectCode::Expired));
        }
        if let Some(info) = connected.info {
            self.with_terms(|terms| terms.set_info(&Expiring::Connection, info));
            self.reappear(worker);
        }
        self.note_meta(connected.meta);
        let rights = worker.live().rights(connected.caps, Some(claims));
        self.set_rights(worker, rights);
        self.complete(worker, slot, ReplyBody::Refresh(told(connected.expire_at)));
        self.review_rooms(worker);
    }

    /// Joins the room that a token names.
    pub(super) fn subscribe_by_token(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        request: &SubscribeRequest<'_>,
        wish: Wish,
    ) {
        if let Err(refusal) = self.may_ask_to_join(worker, &request.channel) {
            return self.complete_refused(worker, slot, "subscribe", refusal);
        }
        let wanted = Self::owned(request);
        let takes_bytes = self.wire.encoding == Encoding::Protobuf;
        match worker.gateway.tokens.subscription(&request.token, takes_bytes) {
            Checked::Now(result) => {
                let permitted = self.permitted(worker, slot, &wanted.channel, result);
                self.join_judged(worker, (slot, wish), &wanted, permitted);
            }
            Checked::Later(result) => {
                self.await_judgement(&request.channel, slot);
                self.wait(worker, slot, result, move |session, worker, result| {
                    let permitted = session.permitted(worker, slot, &wanted.channel, result);
                    session.join_judged(worker, (slot, wish), &wanted, permitted);
                });
            }
        }
    }

    /// What the token permits, or `None` when the client was told that it permits nothing.
    fn permitted(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        channel: &str,
        result: Result<SubscriptionToken, TokenError>,
    ) -> Option<Subscribed> {
        let refused = match result {
            Ok(token) if token.channel == channel && token.user == self.user() => {
                return Some(Subscribed {
                    token: Some(token.credential()),
                    ..token.subscribed
                });
            }
            Ok(_) => {
                self.end(worker, &Ending::Disconnect(DisconnectCode::InvalidToken));
                return None;
            }
            Err(TokenError::Expired | TokenError::Early) => ErrorCode::TokenExpired,
            Err(TokenError::Unreachable) => ErrorCode::Internal,
            Err(_) => ErrorCode::PermissionDenied,
        };
        self.complete_refused(worker, slot, "subscribe", refused);
        None
    }

    /// Renews a subscription with a new token of the same user and room.
    pub(super) fn sub_refresh(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        request: &SubRefreshRequest<'_>,
    ) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        let channel = Channel::from(&*request.channel);
        if !self.is_member(&channel) {
            return self.reply_error(worker, id, "sub_refresh", ErrorCode::PermissionDenied);
        }
        if Expiring::Room(channel.clone()).proxy(worker).is_some() {
            return self.refuse(worker, "server_refreshes");
        }
        if request.token.is_empty() {
            return self.reply_error(worker, id, "sub_refresh", ErrorCode::BadRequest);
        }
        let slot = self.defer_reply(id);
        let takes_bytes = self.wire.encoding == Encoding::Protobuf;
        match worker.gateway.tokens.subscription(&request.token, takes_bytes) {
            Checked::Now(result) => self.sub_refreshed(worker, slot, &channel, result),
            Checked::Later(result) => self.wait(worker, slot, result, move |session, worker, result| {
                session.sub_refreshed(worker, slot, &channel, result);
            }),
        }
    }

    fn sub_refreshed(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        channel: &Channel,
        result: Result<SubscriptionToken, TokenError>,
    ) {
        let (credential, renewed) = match result {
            Ok(token) if *token.channel == **channel && token.user == self.user() => {
                (token.credential(), token.subscribed)
            }
            Err(TokenError::Unreachable) => {
                return self.complete_refused(worker, slot, "sub_refresh", ErrorCode::Internal);
            }
            Err(TokenError::Expired | TokenError::Early) => {
                return self.complete_refused(worker, slot, "sub_refresh", ErrorCode::Expired);
            }
            _ => return self.end(worker, &Ending::Disconnect(DisconnectCode::InvalidToken)),
        };
        if !self.is_member(channel) {
            return self.complete_refused(worker, slot, "sub_refresh", ErrorCode::PermissionDenied);
        }
        let live = worker.live();
        let namespace = live.namespace(channel);
        let checked =
            namespace.and_then(|namespace| self.check_access(worker, namespace, channel, Some(&credential)));
        if let Err(code) = checked {
            return self.complete_refused(worker, slot, "sub_refresh", code);
        }
        drop(live);
        self.with_terms(|terms| terms.set_room_token(channel, credential));
        if self.set_room_expiry(worker, channel, renewed.expire_at).is_err() {
            return self.complete_refused(worker, slot, "sub_refresh", ErrorCode::Expired);
        }
        if let Some(info) = renewed.info {
            self.with_terms(|terms| terms.set_info(&Expiring::Room(channel.clone()), info));
        }
        self.set_allow(worker, channel, renewed.allow);
        self.complete(worker, slot, ReplyBody::SubRefresh(told(renewed.expire_at)));
    }
}

/// `vouched`: the user that the proxy in front names; empty: nobody.
fn admitted(
    live: &Live,
    vouched: Arc<str>,
    result: Result<ConnectionToken, TokenError>,
) -> Result<Admission, Denial> {
    let (credential, connected, claims) = match result {
        Ok(token) => (token.credential(), token.connected, token.claims),
        Err(TokenError::Expired | TokenError::Early) => {
            return Err(Denial::Error(ErrorCode::TokenExpired.into()));
        }
        Err(TokenError::Unreachable) => return Err(Denial::Error(ErrorCode::Internal.into())),
        Err(_) => return Err(Denial::Disconnect(DisconnectCode::InvalidToken)),
    };
    let is_another = !vouched.is_empty() && connected.user.as_deref() != Some(&*vouched);
    if is_another {
        return Err(Denial::Disconnect(DisconnectCode::InvalidToken));
    }
    let mut admission = live.admit_as(vouched, connected, Some(claims));
    for grant in &mut admission.rooms {
        grant.token = Some(credential.clone());
    }
    admission.token = Some(credential);
    Ok(admission)
}

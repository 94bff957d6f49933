//! What is not good any more ([`crate::revocation`]), held against whoever comes and whoever is there.

use std::{collections::HashSet, rc::Rc, sync::Arc};

use natter_protocol::{DisconnectCode, ErrorCode, UnsubscribeCode};

use super::{Ending, Session};
use crate::{
    admission::Denial,
    channel::Channel,
    namespace::Namespace,
    permission::Operation,
    revocation::{Act, Credential, Kind},
    worker::Worker,
};

impl Kind {
    /// How a connection ends for a rule. The SDKs come back by themselves after neither.
    fn disconnect(self) -> DisconnectCode {
        match self {
            Self::Token | Self::IssuedBefore => DisconnectCode::InvalidToken,
            Self::User | Self::Ban => DisconnectCode::ForceNoReconnect,
        }
    }
}

impl Session {
    /// Whether the client may come in. Whoever may is in the worker's tables before the worker is told of another rule.
    pub(super) fn check_connection(
        &self,
        worker: &Worker,
        token: Option<&Arc<Credential>>,
    ) -> Result<(), Denial> {
        let revocations = &worker.gateway.revocations;
        match revocations.judge(self.user(), token.map(Arc::as_ref)) {
            None => Ok(()),
            Some(kind) => {
                revocations.acted(kind, Act::Refused);
                Err(Denial::Disconnect(kind.disconnect()))
            }
        }
    }

    /// Whether the client may have to do with the room now.
    pub(super) fn check_access(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
        token: Option<&Arc<Credential>>,
    ) -> Result<(), ErrorCode> {
        let gateway = &worker.gateway;
        let judged = gateway
            .revocations
            .judge_room(self.user(), channel, token.map(Arc::as_ref));
        if let Some(kind) = judged {
            gateway.revocations.acted(kind, Act::Refused);
            return Err(ErrorCode::PermissionDenied);
        }
        if gateway.holds_back(&worker.live(), namespace, channel) {
            return Err(ErrorCode::Internal);
        }
        Ok(())
    }

    /// Whether the client may read something of a room: asked before, and again when it was read.
    pub(super) fn may_be_given(
        &self,
        worker: &Worker,
        channel: &str,
        operation: Operation,
    ) -> Result<(), ErrorCode> {
        let live = worker.live();
        let namespace = live.namespace(channel)?;
        let is_member = self.is_member(channel);
        // Whom the server has let in may look around.
        let is_for = match operation {
            Operation::Presence => is_member || self.is_for(channel, false),
            _ => self.is_for(channel, is_member),
        };
        if !is_for || !self.may(worker, namespace, channel, operation, is_member) {
            return Err(ErrorCode::PermissionDenied);
        }
        self.check_access(worker, namespace, channel, None)?;
        if worker
            .gateway
            .holds_back_read(&live, namespace, channel, operation)
        {
            return Err(ErrorCode::Internal);
        }
        Ok(())
    }

    /// Whether a rule keeps the client out of the room, into which this token would put it.
    pub(super) fn is_banned(&self, worker: &Worker, channel: &str, token: Option<&Arc<Credential>>) -> bool {
        let revocations = &worker.gateway.revocations;
        revocations
            .judge_room(self.user(), channel, token.map(Arc::as_ref))
            .is_some()
    }

    /// Keeps what the token said with which the client came in.
    pub(super) fn note_token(&self, token: Option<Arc<Credential>>) {
        if let Some(token) = token {
            self.with_terms(|terms| terms.set_token(&token));
        }
    }

    /// Whether it, or a room of it, is by one of these tokens.
    pub fn came_by(&self, tokens: &HashSet<String>) -> bool {
        let terms = self.terms.borrow();
        let mut brought = terms.iter().flat_map(|terms| terms.tokens());
        brought.any(|token| tokens.contains(&*token.id))
    }

    /// Rules have changed: ends the connection, or what of it is not good any more.
    pub fn judge_again(self: &Rc<Self>, worker: &Rc<Worker>) {
        if !self.is_connected() {
            return;
        }
        let revocations = &worker.gateway.revocations;
        let token = self.terms.borrow().as_ref().and_then(|terms| terms.token.clone());
        if let Some(kind) = revocations.judge(self.user(), token.as_deref()) {
            revocations.acted(kind, Act::Closed);
            return self.end(worker, &Ending::Disconnect(kind.disconnect()));
        }
        let rooms = self.subscriptions.borrow().channels();
        for channel in rooms.into_iter().chain(self.asking()) {
            self.judge_room_again(worker, &channel);
        }
    }

    fn judge_room_again(self: &Rc<Self>, worker: &Rc<Worker>, channel: &Channel) {
        let revocations = &worker.gateway.revocations;
        let token = self
            .terms
            .borrow()
            .as_ref()
            .and_then(|terms| terms.room_token(channel));
        if let Some(kind) = revocations.judge_room(self.user(), channel, token.as_deref()) {
            revocations.acted(kind, Act::Unsubscribed);
            self.unsubscribe_with(worker, channel, UnsubscribeCode::Server);
        }
    }
}

//! What a client asks, command by command, in order.

use std::rc::Rc;

use bytes::Bytes;
use natter_protocol::{
    Command, ConnectRequest, ConnectResult, DecodeError, DisconnectCode, ErrorCode, PublishRequest,
    ReplyBody, Request, json,
};
use tracing::debug;

use super::{Ending, Phase, ReplySlot, Session};
use crate::{
    bus::BoxFuture,
    gateway::{Accept, Accepted, Source, error_code, store_error_code},
    history::{MAX_KEY, Receipt, StoreError},
    namespace::Asker,
    room::{HeldMessage, Said},
    worker::Worker,
};

impl Session {
    /// Handles the commands of one frame.
    pub(super) fn commands<'a>(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        commands: impl Iterator<Item = Result<Command<'a>, DecodeError>>,
    ) {
        for command in commands {
            match command {
                Ok(command) => self.command(worker, command),
                Err(error) => {
                    debug!(connection = %self.id, %error, "undecodable command");
                    self.refuse(worker, error.label());
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn command(self: &Rc<Self>, worker: &Rc<Worker>, command: Command<'_>) {
        let label = command.request.label();
        worker.counters().command(label);
        if self.phase.get() == Phase::Fresh && !matches!(command.request, Request::Connect(_)) {
            return self.refuse(worker, "not_connected");
        }
        let id = command.id;
        match command.request {
            Request::Pong => self.pong(worker),
            Request::Connect(request) => self.connect(worker, id, &request),
            Request::Subscribe(request) => self.subscribe(worker, id, &request),
            Request::Unsubscribe(request) => self.unsubscribe(worker, id, &request),
            Request::Publish(request) => self.publish(worker, id, &request),
            Request::History(request) => self.history(worker, id, &request),
            Request::Presence(request) => self.presence(worker, id, &request),
            Request::PresenceStats(request) => self.presence_stats(worker, id, &request),
            Request::Send(_) => self.end(worker, &Ending::Disconnect(DisconnectCode::NotAvailable)),
            Request::Ping => self.refuse(worker, "ping_command"),
            Request::Rpc(_) | Request::Refresh(_) | Request::SubRefresh(_) => {
                self.reply_error(worker, id, label, ErrorCode::NotAvailable)
            }
        }
    }

    fn connect(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &ConnectRequest<'_>) {
        if self.phase.get() != Phase::Fresh {
            return self.refuse(worker, "second_connect");
        }
        let live = worker.live();
        // No key is configured to check a token with, and an identity that cannot be checked must not be dropped in
        // silence.
        let refused =
            !request.token.is_empty() || (self.user().is_empty() && !live.settings.allows_anonymous());
        if refused {
            return self.end(worker, &Ending::Disconnect(DisconnectCode::InvalidToken));
        }
        self.phase.set(Phase::Connected);
        worker.connected(self);
        // Where requests of a stream's client have to go; others need not know.
        let (session, node) = self.stream_key(worker).map_or_else(Default::default, |key| {
            (key.to_string(), worker.gateway.node.to_string())
        });
        let mut buffer = uuid::Uuid::encode_buffer();
        let result = ConnectResult {
            client: self.id.hyphenated().encode_lower(&mut buffer),
            version: env!("CARGO_PKG_VERSION"),
            // The protocol counts in whole seconds.
            ping: u32::try_from(live.settings.client.ping_interval.as_secs()).unwrap_or(u32::MAX),
            pong: !self.is_stream(),
            session: &session,
            node: &node,
            ..ConnectResult::default()
        };
        self.reply(worker, id, ReplyBody::Connect(result));
        self.start_pings(worker);
    }

    fn publish(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &PublishRequest<'_>) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        let message = Said {
            data: request
                .data
                .and_then(|data| worker.live().accepted_data(&request.channel, data)),
            key: (!request.idempotency_key.is_empty()).then(|| request.idempotency_key.to_string()),
        };
        if let Some(room) = self.joining(&request.channel) {
            let slot = self.defer_reply(id);
            return room.hold(self, HeldMessage { slot, message });
        }
        let is_member = self.is_member(&request.channel);
        match self.try_publish(worker, &request.channel, message, is_member) {
            Ok(Accepted::Sent) => self.reply(worker, id, ReplyBody::Publish),
            Ok(Accepted::Storing(stored)) => {
                let slot = self.defer_reply(id);
                self.complete_when_stored(worker, slot, stored);
            }
            Err(error) => self.reply_error(worker, id, "publish", error),
        }
    }

    /// Says what waited for the end of a join: as a member, unless the join failed.
    pub(super) fn publish_held(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        held: Vec<HeldMessage>,
        is_member: bool,
    ) {
        for HeldMessage { slot, message } in held {
            let body = match self.try_publish(worker, channel, message, is_member) {
                Ok(Accepted::Sent) => ReplyBody::Publish,
                Ok(Accepted::Storing(stored)) => {
                    self.complete_when_stored(worker, slot, stored);
                    continue;
                }
                Err(error) => {
                    worker
                        .gateway
                        .metrics
                        .protocol
                        .command_failed("publish", error.code());
                    ReplyBody::Error(error)
                }
            };
            self.complete(worker, slot, body);
        }
    }

    fn try_publish(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        message: Said,
        is_member: bool,
    ) -> Result<Accepted, ErrorCode> {
        let live = worker.live();
        let namespace = live.namespace(channel)?;
        let asker = Asker {
            has_user: !self.user().is_empty(),
            is_member,
        };
        let refused = |error: ErrorCode| {
            namespace.metrics.offer(Source::Client).refuse(error.label());
            error
        };
        if !namespace.may_publish(asker) {
            return Err(refused(ErrorCode::PermissionDenied));
        }
        let data = message.data.ok_or_else(|| refused(ErrorCode::BadRequest))?;
        if message.key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
            return Err(refused(ErrorCode::BadRequest));
        }
        let accept = Accept {
            channel,
            data,
            info: Some(self.info()),
            tags: None,
            traceparent: None,
            source: Source::Client,
            key: message.key.as_deref(),
        };
        worker.gateway.publish(namespace, accept).map_err(error_code)
    }

    /// Stored publications are answered in the order of their commands, but they are stored side by side.
    fn complete_when_stored(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        stored: BoxFuture<Result<Receipt, StoreError>>,
    ) {
        let (session, worker) = (self.clone(), worker.clone());
        tokio::task::spawn_local(async move {
            let body = match stored.await {
                Ok(_receipt) => ReplyBody::Publish,
                Err(error) => {
                    let code = store_error_code(error);
                    worker
                        .gateway
                        .metrics
                        .protocol
                        .command_failed("publish", code.code());
                    ReplyBody::Error(code)
                }
            };
            session.complete(&worker, slot, body);
        });
    }

    /// What others are told about the publisher.
    fn info(&self) -> Bytes {
        let mut buffer = uuid::Uuid::encode_buffer();
        let mut info = Vec::with_capacity(64 + self.user().len());
        json::encode_client_info(&self.client_info(&mut buffer), &mut info);
        info.into()
    }
}

//! What a client asks, command by command, in order.

use std::rc::Rc;

use bytes::Bytes;
use natter_protocol::{
    Command, DecodeError, DisconnectCode, ErrorCode, PublishRequest, ReplyBody, Request, json, protobuf,
};
use tracing::debug;

use super::{Ending, Phase, ReplySlot, Session, backend::asks_to_say};
use crate::{
    bus::BoxFuture,
    gateway::{Accept, Accepted, Source, error_code, store_error_code},
    history::{MAX_KEY, Receipt, StoreError},
    namespace::Namespace,
    permission::Operation,
    room::{HeldMessage, Said},
    worker::Worker,
};

impl Session {
    /// Handles the commands of a text, but for the first ones, which are done.
    pub(super) fn say_text(self: &Rc<Self>, worker: &Rc<Worker>, text: &str, done: usize) {
        let taken = self.commands(worker, json::decode(text).skip(done));
        self.spend(worker, taken.max(1));
        if self.phase.get() == Phase::Admitting {
            self.keep(worker, text.as_bytes(), done + taken);
        }
    }

    /// The same for Protobuf.
    pub(super) fn say_bytes(self: &Rc<Self>, worker: &Rc<Worker>, bytes: &[u8], done: usize) {
        let taken = self.commands(worker, protobuf::decode(bytes).skip(done));
        self.spend(worker, taken.max(1));
        if self.phase.get() == Phase::Admitting {
            self.keep(worker, bytes, done + taken);
        }
    }

    /// Handles commands until one of them has to be waited for; returns how many it were.
    fn commands<'a>(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        commands: impl Iterator<Item = Result<Command<'a>, DecodeError>>,
    ) -> usize {
        if self.phase.get() == Phase::Admitting {
            return 0;
        }
        let mut taken = 0;
        for command in commands {
            taken += 1;
            match command {
                Ok(command) => self.command(worker, command),
                Err(error) => {
                    debug!(connection = %self.id, %error, "undecodable command");
                    self.refuse(worker, error.label());
                }
            }
            if self.is_over() || self.phase.get() == Phase::Admitting {
                break;
            }
        }
        taken
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
            Request::Refresh(request) => self.refresh(worker, id, &request),
            Request::SubRefresh(request) => self.sub_refresh(worker, id, &request),
            Request::Ping => self.refuse(worker, "ping_command"),
            Request::Rpc(request) => self.rpc(worker, id, &request),
        }
    }

    fn publish(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &PublishRequest<'_>) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        if let Err(error) = self.may_publish_at_this_rate(worker, &request.channel) {
            return self.reply_error(worker, id, "publish", error);
        }
        let message = Said {
            data: request
                .data
                .and_then(|data| worker.live().accepted_data(&request.channel, data)),
            key: (!request.idempotency_key.is_empty()).then(|| request.idempotency_key.to_string()),
            traceparent: None,
        };
        if let Some(room) = self.joining(&request.channel) {
            let slot = self.defer_reply(id);
            return room.hold(self, HeldMessage { slot, message });
        }
        if self.is_asking(&request.channel) {
            let slot = self.defer_reply(id);
            return self.hold_while_asking(&request.channel, HeldMessage { slot, message });
        }
        let is_member = self.is_member(&request.channel);
        if asks_to_say(worker, &request.channel) {
            let slot = self.defer_reply(id);
            return self.say_by_proxy(worker, &request.channel, HeldMessage { slot, message }, is_member);
        }
        match self.try_publish(worker, &request.channel, message, is_member) {
            Ok(Accepted::Sent) => self.reply(worker, id, ReplyBody::Publish),
            Ok(Accepted::Storing(stored)) => {
                let slot = self.defer_reply(id);
                self.complete_when_stored(worker, slot, stored);
            }
            Err(error) => self.reply_error(worker, id, "publish", error),
        }
    }

    /// A room without a policy is refused later, by what its name lacks.
    fn may_publish_at_this_rate(&self, worker: &Worker, channel: &str) -> Result<(), ErrorCode> {
        let live = worker.live();
        let Ok(namespace) = live.namespace(channel) else {
            return Ok(());
        };
        self.may_publish_now(worker).inspect_err(|error| {
            namespace.metrics.offer(Source::Client).refuse(error.label());
        })
    }

    /// Says what waited for the end of a join: as a member, unless the join failed.
    pub(super) fn publish_held(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        held: Vec<HeldMessage>,
        is_member: bool,
    ) {
        let by_proxy = asks_to_say(worker, channel);
        for HeldMessage { slot, message } in held {
            if by_proxy {
                self.say_by_proxy(worker, channel, HeldMessage { slot, message }, is_member);
                continue;
            }
            self.say(worker, channel, HeldMessage { slot, message }, is_member);
        }
    }

    /// Publishes and answers, at once or when it is stored.
    pub(super) fn say(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        HeldMessage { slot, message }: HeldMessage,
        is_member: bool,
    ) {
        match self.try_publish(worker, channel, message, is_member) {
            Ok(Accepted::Sent) => self.complete(worker, slot, ReplyBody::Publish),
            Ok(Accepted::Storing(stored)) => self.complete_when_stored(worker, slot, stored),
            Err(error) => self.complete_refused(worker, slot, "publish", error),
        }
    }

    /// Whether the room's policy lets the client say it.
    pub(super) fn may_say(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
        message: &Said,
        is_member: bool,
    ) -> Result<(), ErrorCode> {
        let may = self.is_for(channel, is_member)
            && self.may(worker, namespace, channel, Operation::Publish, is_member);
        if !may {
            return Err(ErrorCode::PermissionDenied);
        }
        self.check_access(worker, namespace, channel, None)?;
        let key = message.key.as_ref();
        if message.data.is_none() || key.is_some_and(|key| key.len() > MAX_KEY) {
            return Err(ErrorCode::BadRequest);
        }
        Ok(())
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
        let refused = |error: ErrorCode| {
            namespace.metrics.offer(Source::Client).refuse(error.label());
            error
        };
        self.may_say(worker, namespace, channel, &message, is_member)
            .and_then(|()| self.room_takes_one(worker, namespace, channel))
            .map_err(refused)?;
        let data = message.data.ok_or(ErrorCode::BadRequest)?;
        let accept = Accept {
            channel,
            data,
            info: Some(self.info(channel)),
            tags: None,
            traceparent: message.traceparent.as_deref(),
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
            match stored.await {
                Ok(_receipt) => session.complete(&worker, slot, ReplyBody::Publish),
                Err(error) => session.complete_refused(&worker, slot, "publish", store_error_code(error)),
            }
        });
    }

    /// What others in a room are told about the client.
    fn info(&self, channel: &str) -> Bytes {
        let mut buffer = uuid::Uuid::encode_buffer();
        let infos = self.infos(channel);
        let info_of = self.client_info(&mut buffer, &infos);
        let mut info = Vec::with_capacity(64 + self.user().len() + infos.0.len() + infos.1.len());
        json::encode_client_info(&info_of, &mut info);
        info.into()
    }
}

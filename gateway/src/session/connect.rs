//! From the connect command to its answer: who may come in is decided ([`crate::admission`]), now or later, then the rooms
//! that the connection is in from the beginning are joined, and the answer tells all of it at once.
//!
//! What comes meanwhile keeps its order. Before the decision nothing can be judged: what is read is kept as it came, and read
//! so that a client that leaves is noticed. After it commands are carried out, and their answers wait behind that of connect. A member
//! gets no publication before that answer, which brings what it missed ([`Held`]).

mod wanted;

use std::{collections::HashSet, rc::Rc, sync::Arc};

use bytes::Bytes;
use natter_protocol::{
    ConnectRequest, ConnectResult, DisconnectCode, ErrorCode, Push, ReplyBody, SubscribeRequest,
    SubscribeResult, json, protobuf,
};
use tokio::task::AbortHandle;

use self::wanted::{as_wanted, wanted};
use super::{
    Phase, Refusal, ReplySlot, Session, Wish, expiry::Expiring, recover::Held, subscriptions::taste,
};
use crate::{
    admission::{Admission, Denial, Verdict},
    channel::Channel,
    frame::Frame,
    grant::Grant,
    limits::Limit,
    wire::Encoding,
    worker::Worker,
};

/// Bytes of early commands that are kept until the client is let in: what a client says at once, several frames of it.
const MAX_KEPT: usize = 256 * 1024;

/// Room for an answer without what was missed, in bytes.
const ANSWER_CAPACITY: usize = 256;

/// Somebody decides whether the client is let in.
pub(super) struct Admitting {
    call: AbortHandle,
    /// Frames that came meanwhile, and how many of their commands are done.
    kept: Vec<(Bytes, usize)>,
    bytes: usize,
}

/// The client is put into its first rooms.
pub(super) struct Joining {
    slot: ReplySlot,
    /// What the client is told.
    data: Bytes,
    /// Rooms whose join is not answered yet.
    open: Vec<Channel>,
    /// The others, each with its result as the answer has it.
    joined: Vec<(Channel, Vec<u8>)>,
    held: Vec<Rc<Held>>,
}

/// A room that the connect request names, and where the client was in it.
pub(crate) type Wanted = SubscribeRequest<'static>;

impl Drop for Admitting {
    fn drop(&mut self) {
        self.call.abort();
    }
}

impl Session {
    pub(super) fn connect(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &ConnectRequest<'_>) {
        if self.phase.get() != Phase::Fresh {
            return self.refuse(worker, "second_connect");
        }
        // Before anything is judged or kept for any of them.
        if request.subs.len() > worker.live().settings.client.channel_limit {
            let refused = Denial::Error(ErrorCode::LimitExceeded.into());
            return self.connect_by(worker, id, Vec::new(), Verdict::Now(Err(refused)));
        }
        let wanted = wanted(request);
        let verdict = if !request.token.is_empty() {
            self.connect_by_token(worker, &request.token)
        } else if let Some(asked) = self.ask_to_connect(worker, request) {
            Verdict::Later(asked)
        } else {
            Verdict::Now(worker.live().admit(self.user()))
        };
        let verdict = self.within_user_limit(worker, verdict);
        self.connect_by(worker, id, wanted, verdict);
    }

    /// The verdict, after other gateways were asked about the user where that may matter.
    fn within_user_limit(&self, worker: &Worker, verdict: Verdict) -> Verdict {
        let limit = worker.live().settings.client.user_connection_limit;
        if limit == 0 {
            return verdict;
        }
        let Some(gateway) = worker.gateway.shared() else {
            return verdict;
        };
        let vouched: Arc<str> = self.user().into();
        Verdict::Later(Box::pin(async move {
            let admission = match verdict {
                Verdict::Now(decided) => decided,
                Verdict::Later(decision) => decision.await,
            }?;
            let user = admission.user.as_deref().unwrap_or(&vouched);
            if user.is_empty() || gateway.cluster.admits_one_more(&gateway, user, limit).await {
                return Ok(admission);
            }
            gateway
                .limiter
                .reached(Limit::UserConnections, &"a connect command");
            Err(Denial::Disconnect(DisconnectCode::ConnectionLimit))
        }))
    }

    /// A client that only listens says what it wants; all else that it may say means nothing.
    pub(super) fn say_once(self: &Rc<Self>, worker: &Rc<Worker>, request: &[u8]) {
        if self.phase.get() != Phase::Fresh {
            return;
        }
        let Ok(text) = std::str::from_utf8(request) else {
            return self.refuse(worker, "invalid_utf8");
        };
        match json::decode_connect(text) {
            Ok(request) => self.connect(worker, 0, &request),
            Err(error) => self.refuse(worker, error.label()),
        }
    }

    /// Lets the client in or not, once that is decided.
    pub(crate) fn connect_by(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        wanted: Vec<Wanted>,
        verdict: Verdict,
    ) {
        let slot = self.defer_reply(id);
        self.start_pings(worker);
        match verdict {
            Verdict::Now(decided) => self.decided(worker, slot, &wanted, decided),
            Verdict::Later(decision) => {
                self.phase.set(Phase::Admitting);
                let (session, worker) = (self.clone(), worker.clone());
                let call = tokio::task::spawn_local(async move {
                    let decided = decision.await;
                    session.decided(&worker, slot, &wanted, decided);
                });
                let admitting = Admitting {
                    call: call.abort_handle(),
                    kept: Vec::new(),
                    bytes: 0,
                };
                self.with_terms(|terms| terms.admitting = Some(admitting));
            }
        }
    }

    /// Keeps a frame, of which so many commands are done, for when it is known who says it.
    pub(crate) fn keep(self: &Rc<Self>, worker: &Rc<Worker>, frame: &[u8], done: usize) {
        let fits = self.with_terms(|terms| {
            let Some(admitting) = &mut terms.admitting else {
                return false;
            };
            // A frame with nothing in it takes its place too.
            admitting.bytes += frame.len() + size_of::<(Bytes, usize)>();
            admitting.kept.push((Bytes::copy_from_slice(frame), done));
            admitting.bytes <= MAX_KEPT
        });
        if !fits {
            self.refuse(worker, "early_commands");
        }
    }

    fn decided(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        wanted: &[Wanted],
        decided: Result<Admission, Denial>,
    ) {
        if self.is_over() {
            return;
        }
        match decided {
            Ok(admission) => self.let_in(worker, slot, wanted, admission),
            Err(denial) => return self.deny(worker, slot, &denial),
        }
        let admitting = self.with_terms(|terms| terms.admitting.take());
        let Some(mut admitting) = admitting else { return };
        for (frame, done) in std::mem::take(&mut admitting.kept) {
            if self.is_over() {
                return;
            }
            match self.wire.encoding {
                // It was looked at when it came.
                Encoding::Json => self.say_text(worker, &String::from_utf8_lossy(&frame), done),
                Encoding::Protobuf => self.say_bytes(worker, &frame, done),
            }
        }
        self.wake();
    }

    fn let_in(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        wanted: &[Wanted],
        admission: Admission,
    ) {
        if let Some(user) = admission.user {
            // Whom the proxy in front vouches for stays.
            let _ = self.user.set(user);
        }
        if let Err(denial) = self.check_connection(worker, admission.token.as_ref()) {
            return self.deny(worker, slot, &denial);
        }
        if worker.connected(self).is_err() {
            worker.gateway.limiter.reached(Limit::UserConnections, &self.id);
            return self.deny(worker, slot, &Denial::Disconnect(DisconnectCode::ConnectionLimit));
        }
        self.phase.set(Phase::Connected);
        self.note_token(admission.token);
        if let Err(error) = self.set_expiry(worker, admission.expire_at) {
            return self.deny(worker, slot, &Denial::Error(error.into()));
        }
        if !admission.info.is_empty() {
            self.with_terms(|terms| terms.info = admission.info);
        }
        self.note_meta(admission.meta);
        self.set_rights(worker, admission.rights);
        let wanted = if admission.takes_wishes { wanted } else { &[] };
        // Each costs what the command costs that would join it.
        self.spend(worker, wanted.len());
        if are_more_than(worker.live().settings.client.channel_limit, &admission.rooms) {
            return self.deny(worker, slot, &Denial::Error(ErrorCode::LimitExceeded.into()));
        }
        let rooms = admission.rooms.into_iter();
        let granted = rooms.filter(|grant| !self.is_banned(worker, &grant.channel, grant.token.as_ref()));
        let wishes = match self.first_rooms(worker, granted.collect(), wanted) {
            Ok(wishes) => wishes,
            Err(refusal) => return self.deny(worker, slot, &Denial::Error(refusal)),
        };
        let joining = Joining {
            slot,
            data: admission.data,
            open: wishes.iter().map(|(channel, _)| channel.clone()).collect(),
            joined: Vec::new(),
            held: Vec::new(),
        };
        if joining.open.is_empty() {
            return self.answer_connect(worker, joining);
        }
        self.with_terms(|terms| terms.joining = Some(joining));
        for (channel, wish) in wishes {
            if let Err(refusal) = self.join(worker, &channel, wish) {
                return self.fail_connect(worker, refusal);
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// The rooms of the beginning, each once, and how they are joined. What the client may not have of its own wishes is left
    /// out.
    fn first_rooms(
        &self,
        worker: &Worker,
        granted: Vec<Grant>,
        wanted: &[Wanted],
    ) -> Result<Vec<(Channel, Wish)>, Refusal> {
        let live = worker.live();
        let mut rooms: Vec<(Channel, Wish)> = Vec::new();
        for grant in granted {
            let channel = Channel::from(grant.channel.as_str());
            if rooms.iter().any(|(known, _)| *known == channel) {
                continue;
            }
            let namespace = live.namespace(&channel)?;
            let wish = Wish::granted(namespace, &grant.into());
            let wish = match wanted.iter().find(|wanted| wanted.channel == *channel) {
                Some(wanted) => as_wanted(wish, wanted, namespace),
                None => wish,
            };
            rooms.push((channel, wish));
        }
        // What the client names it names once.
        let granted = rooms.len();
        for wanted in wanted {
            let Ok(namespace) = live.namespace(&wanted.channel) else {
                continue;
            };
            let is_known = rooms[..granted]
                .iter()
                .any(|(known, _)| **known == *wanted.channel);
            // A backend is asked about joins that are commands.
            let is_asked = namespace.options.subscribe_proxy.is_some();
            let is_out = is_known || is_asked || self.is_banned(worker, &wanted.channel, None);
            if is_out || self.check_encoding(namespace).is_err() {
                continue;
            }
            let Some(permission) = self.may_join(worker, namespace, &wanted.channel) else {
                continue;
            };
            let Ok(taste) = taste(wanted, namespace) else {
                continue;
            };
            let may_read = self.may_catch_up(worker, namespace, wanted);
            let wish = Wish::of(wanted, namespace, may_read).with_taste(taste);
            let wish = wish.with_permission(permission);
            rooms.push((Channel::from(&*wanted.channel), wish));
            if rooms.len() > live.settings.client.channel_limit {
                return Err(ErrorCode::LimitExceeded.into());
            }
        }
        for (_, wish) in &mut rooms {
            wish.at_connect = true;
        }
        Ok(rooms)
    }

    /// One of the first rooms is joined.
    pub(super) fn joined_at_connect(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &Channel,
        result: &SubscribeResult<'_>,
        held: Option<Rc<Held>>,
    ) {
        let mut encoded = Vec::new();
        match self.wire.encoding {
            Encoding::Json => json::encode_subscription(result, &mut encoded),
            Encoding::Protobuf => protobuf::encode_subscription(result, &mut encoded),
        }
        self.change_joining(worker, |joining| {
            joining.open.retain(|open| open != channel);
            joining.joined.push((channel.clone(), encoded));
            joining.held.extend(held);
        });
    }

    /// The client left a room, perhaps before it was told that it is in it.
    pub(super) fn forget_grant(self: &Rc<Self>, worker: &Rc<Worker>, channel: &Channel) {
        if !self.has_terms() {
            return;
        }
        self.forget_room(channel);
        self.stop_renewing(worker, &Expiring::Room(channel.clone()));
        self.change_joining(worker, |joining| {
            joining.open.retain(|open| open != channel);
            joining.joined.retain(|(joined, _)| joined != channel);
        });
    }

    /// Answers the connect command once nothing is open any more.
    fn change_joining(self: &Rc<Self>, worker: &Rc<Worker>, change: impl FnOnce(&mut Joining)) {
        let done = self.with_terms(|terms| {
            change(terms.joining.as_mut()?);
            terms.joining.take_if(|joining| joining.open.is_empty())
        });
        if let Some(joining) = done {
            self.answer_connect(worker, joining);
        }
    }

    fn answer_connect(self: &Rc<Self>, worker: &Rc<Worker>, joining: Joining) {
        // Where requests of a stream's client have to go; others need not know.
        let session = self.stream_key(worker).map(|key| key.to_string());
        let node = session
            .as_ref()
            .filter(|_| !self.wire.one_way)
            .map(|_| worker.gateway.node.to_string());
        let subs: Vec<_> = joining
            .joined
            .iter()
            .map(|(channel, encoded)| (&**channel, encoded.as_slice()))
            .collect();
        let end = self.told_end(worker);
        let interval = worker.live().settings.client.ping_interval;
        let mut buffer = uuid::Uuid::encode_buffer();
        let result = ConnectResult {
            client: self.id.hyphenated().encode_lower(&mut buffer),
            version: env!("CARGO_PKG_VERSION"),
            expires: end.expires,
            ttl: end.ttl,
            data: &joining.data,
            subs: &subs,
            // The protocol counts in whole seconds.
            ping: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
            pong: self.answers_pings(),
            session: session.as_deref().unwrap_or_default(),
            node: node.as_deref().unwrap_or_default(),
        };
        let frame = self.connect_frame(joining.slot, result);
        self.complete_frame(worker, joining.slot, frame, joining.held);
    }

    fn connect_frame(&self, slot: ReplySlot, result: ConnectResult<'_>) -> Arc<Frame> {
        if self.wire.one_way {
            Arc::new(self.wire.push(ANSWER_CAPACITY, &Push::Connect(result)))
        } else {
            self.reply_frame(slot.id, ReplyBody::Connect(result))
        }
    }

    /// One of the rooms that the connection is to be in cannot be joined: it comes to nothing as a whole.
    pub(super) fn fail_connect(self: &Rc<Self>, worker: &Rc<Worker>, refusal: Refusal) {
        let joining = self.with_terms(|terms| terms.joining.take());
        if let Some(joining) = joining {
            self.deny(worker, joining.slot, &Denial::Error(refusal));
        }
    }

    fn deny(self: &Rc<Self>, worker: &Rc<Worker>, slot: ReplySlot, denial: &Denial) {
        if let Some((code, body)) = denial.answer() {
            worker.gateway.metrics.protocol.command_failed("connect", code);
            if !self.wire.one_way {
                self.complete(worker, slot, body);
            }
        }
        self.end(worker, &denial.ending());
    }

    /// Ends what leads to the answer of the connect command, without it.
    pub(super) fn stop_connecting(&self) {
        if self.has_terms() {
            let ended = self.with_terms(|terms| (terms.admitting.take(), terms.joining.take()));
            drop(ended);
        }
    }

    /// Bytes of results that wait for others.
    pub(super) fn connecting_bytes(&self) -> usize {
        let terms = self.terms.borrow();
        let joining = terms.as_ref().and_then(|terms| terms.joining.as_ref());
        joining.map_or(0, |joining| {
            joining.joined.iter().map(|(_, encoded)| encoded.len()).sum()
        })
    }

    /// Whether the connect command is not answered yet.
    pub(super) fn is_connecting(&self) -> bool {
        let terms = self.terms.borrow();
        let terms = terms.as_ref();
        terms.is_some_and(|terms| terms.admitting.is_some() || terms.joining.is_some())
    }
}

/// Whether they are more rooms than that, however often each is named.
fn are_more_than(limit: usize, rooms: &[Grant]) -> bool {
    let names = || rooms.iter().map(|grant| grant.channel.as_str());
    rooms.len() > limit && names().collect::<HashSet<_>>().len() > limit
}

//! The rooms that a session is in: joining, leaving, being told.

use std::rc::Rc;

use natter_protocol::{
    DisconnectCode, ErrorCode, Filter, Push, ReplyBody, SubscribeRequest, SubscribeResult, UnsubscribeCode,
    UnsubscribeRequest, channel,
};

use super::{
    Ending, Refusal, Session, backend::subscribe_proxy, recover::Held, rights::Permission, wish::Wish,
};
use crate::{
    bus::BusError,
    channel::Channel,
    config::Who,
    gateway::error_code,
    namespace::Namespace,
    permission::Allow,
    room::{MemberIndex, Room, Taste, Waiting},
    wire::Encoding,
    worker::Worker,
};

/// The one kind of differences, as `delta` of a subscription names it.
const FOSSIL: &str = "fossil";
const BAD_FILTER: &str =
    "tf: unknown op or cmp, or not the keys, values and nodes that they take, or too large";

#[derive(Default)]
pub(super) struct Subscriptions(Vec<Subscription>);

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(super) struct Subscription {
    pub(super) room: Rc<Room>,
    /// `None` while the room is being joined.
    pub(super) place: Option<MemberIndex>,
    /// The client was told its position: it has to know when that is lost.
    pub(super) positioned: bool,
    /// Others are told of it.
    present: bool,
    /// It is told of others.
    pub(super) listens: bool,
    /// Made by the server API, not by a command.
    by_server: bool,
    /// Its client was let in by what its token or an expression says, which may change.
    lent: bool,
    /// What the client may do there beside what the namespace permits.
    pub(super) allow: Allow,
    /// While the client recovers: what came meanwhile.
    pub(super) held: Option<Rc<Held>>,
}

impl Subscriptions {
    pub(super) fn find(&self, channel: &str) -> Option<&Subscription> {
        self.0
            .iter()
            .find(|subscription| &*subscription.room.channel == channel)
    }

    pub(super) fn of_room(&mut self, room: &Rc<Room>) -> Option<&mut Subscription> {
        self.0
            .iter_mut()
            .find(|subscription| Rc::ptr_eq(&subscription.room, room))
    }

    /// The rooms whose members others are told of.
    pub(super) fn present(&self) -> Vec<Rc<Room>> {
        let present = self.0.iter().filter(|subscription| subscription.present);
        present.map(|subscription| subscription.room.clone()).collect()
    }

    pub(super) fn channels(&self) -> Vec<Channel> {
        let channels = self.0.iter().map(|subscription| &subscription.room.channel);
        channels.cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The rooms that the client is in by what its token or an expression said.
    pub(super) fn lent(&self) -> Vec<Channel> {
        let lent = self.0.iter().filter(|subscription| subscription.lent);
        lent.map(|subscription| subscription.room.channel.clone())
            .collect()
    }

    pub(super) fn set_allow(&mut self, channel: &str, allow: Allow) {
        let mut all = self.0.iter_mut();
        if let Some(subscription) = all.find(|subscription| &*subscription.room.channel == channel) {
            subscription.allow = allow;
        }
    }

    fn add(&mut self, subscription: Subscription) {
        // Most sessions are in one room: no spare capacity for more.
        self.0.reserve_exact(1);
        self.0.push(subscription);
    }

    fn take(&mut self, channel: &str) -> Option<Subscription> {
        let index = self
            .0
            .iter()
            .position(|subscription| &*subscription.room.channel == channel)?;
        Some(self.0.swap_remove(index))
    }
}

impl Session {
    pub(super) fn is_member(&self, channel: &str) -> bool {
        self.subscriptions
            .borrow()
            .find(channel)
            .is_some_and(|subscription| subscription.place.is_some())
    }

    /// Whether the session is in the room, or waits for it.
    pub(super) fn is_in(&self, channel: &str) -> bool {
        self.subscriptions.borrow().find(channel).is_some()
    }

    /// Whether the server put it into the room.
    pub(super) fn is_in_by_server(&self, channel: &str) -> bool {
        self.subscriptions
            .borrow()
            .find(channel)
            .is_some_and(|subscription| subscription.by_server)
    }

    /// The room, if this session waits to become a member.
    pub(super) fn joining(&self, channel: &str) -> Option<Rc<Room>> {
        self.subscriptions
            .borrow()
            .find(channel)
            .filter(|subscription| subscription.place.is_none())
            .map(|subscription| subscription.room.clone())
    }

    pub(super) fn subscribe(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &SubscribeRequest<'_>) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        let mut wish = match self.may_subscribe(worker, request) {
            Ok(wish) => wish,
            Err(error) => return self.reply_error(worker, id, "subscribe", error),
        };
        let slot = self.defer_reply(id);
        if let Some(name) = subscribe_proxy(worker, &request.channel) {
            return self.subscribe_by_proxy(worker, slot, request, wish, &name);
        }
        if !request.token.is_empty() {
            return self.subscribe_by_token(worker, slot, request, wish);
        }
        wish.slot = Some(slot);
        if let Err(error) = self.join(worker, &request.channel, wish) {
            self.complete_refused(worker, slot, "subscribe", error);
        }
    }

    fn may_subscribe(&self, worker: &Worker, request: &SubscribeRequest<'_>) -> Result<Wish, Refusal> {
        let live = worker.live();
        let namespace = live.namespace(&request.channel)?;
        // A backend gets the token, and judges what the policy permits.
        let by_token = !request.token.is_empty() && namespace.options.subscribe_proxy.is_none();
        let permission = if by_token {
            let is_open = namespace.options.subscribe != Who::Server;
            let is_for = is_open && channel::admits(&request.channel, self.user());
            is_for.then_some(Permission::Policy)
        } else {
            self.may_join(worker, namespace, &request.channel)
        };
        let permission = permission.ok_or(ErrorCode::PermissionDenied)?;
        self.check_encoding(namespace)?;
        let taste = taste(request, namespace)?;
        let may_read = self.may_catch_up(worker, namespace, request);
        let wish = Wish::of(request, namespace, may_read).with_taste(taste);
        Ok(wish.with_permission(permission))
    }

    /// Whoever could not take what a room brings stays out of it.
    pub(super) fn check_encoding(&self, namespace: &Namespace) -> Result<(), Refusal> {
        if namespace.is_binary() && self.wire.encoding == Encoding::Json {
            let reason = "payload: binary: rooms of this namespace are for clients that speak Protobuf";
            Err(Refusal::because(ErrorCode::BadRequest, reason))
        } else {
            Ok(())
        }
    }

    /// Joins a room, once its bus subscription is live.
    pub fn join(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str, wish: Wish) -> Result<(), Refusal> {
        {
            let live = worker.live();
            let namespace = live.namespace(channel)?;
            let token = wish.grant().and_then(|grant| grant.token.as_ref());
            self.check_access(worker, namespace, channel, token)?;
            self.check_encoding(namespace)?;
            let subscriptions = self.subscriptions.borrow();
            if subscriptions.find(channel).is_some() {
                return Err(ErrorCode::AlreadySubscribed.into());
            }
            if subscriptions.0.len() >= live.settings.client.channel_limit {
                return Err(ErrorCode::LimitExceeded.into());
            }
        }
        let room = worker.enter(channel)?;
        if wish.taste().is_some_and(|taste| !room.takes(taste)) {
            let reason = "tf: too many different filters in this room";
            return Err(Refusal::because(ErrorCode::LimitExceeded, reason));
        }
        let is_live = room.live.get();
        self.subscriptions.borrow_mut().add(Subscription {
            room: room.clone(),
            place: None,
            positioned: wish.is_positioned(),
            present: false,
            listens: wish.listens,
            by_server: wish.slot.is_none(),
            lent: wish.lent,
            allow: wish.grant().map_or(Allow::NOTHING, |grant| grant.allow),
            held: None,
        });
        if is_live {
            self.enter_live(worker, &room, wish);
        } else {
            room.wait(Waiting {
                session: self.clone(),
                wish,
                held: Vec::new(),
            });
        }
        Ok(())
    }

    /// The bus delivers the room that this session waited for.
    pub fn room_is_live(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, waiting: Waiting) {
        // What it came with may have been revoked while it waited.
        let token = waiting.wish.grant().and_then(|grant| grant.token.as_ref());
        let live = worker.live();
        let judged = live
            .namespace(&room.channel)
            .and_then(|namespace| self.check_access(worker, namespace, &room.channel, token));
        drop(live);
        if let Err(refusal) = judged {
            return self.stays_out(worker, &room.channel, waiting, refusal);
        }
        self.enter_live(worker, room, waiting.wish);
        self.publish_held(worker, &room.channel, waiting.held, true);
    }

    /// Becomes a member, and is answered at once or when it has recovered.
    fn enter_live(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, wish: Wish) {
        let place = room.add(self.clone());
        if let Some(taste) = wish.taste() {
            room.set_taste(place, taste);
        }
        if let Some(grant) = wish.grant() {
            self.note_grant(worker, &room.channel, grant);
            self.tell_unknown(worker, grant.allow);
        }
        let present = self.appear(worker, room);
        if let Some(subscription) = self.subscriptions.borrow_mut().of_room(room) {
            (subscription.place, subscription.present) = (Some(place), present);
        }
        worker.gateway.metrics.rooms.subscriptions.inc();
        self.catch_up(worker, room, place, wish);
    }

    /// The bus could not subscribe the room that this session waited for.
    pub fn room_failed(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &Channel,
        waiting: Waiting,
        error: BusError,
    ) {
        self.stays_out(worker, channel, waiting, error_code(error));
    }

    /// The join of a room comes to nothing.
    fn stays_out(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &Channel,
        waiting: Waiting,
        refusal: ErrorCode,
    ) {
        self.subscriptions.borrow_mut().take(channel);
        if waiting.wish.at_connect {
            // Whoever is kept out of one room may come back without it.
            let refusal = match refusal {
                ErrorCode::PermissionDenied => ErrorCode::Internal,
                other => other,
            };
            self.fail_connect(worker, refusal.into());
        }
        if let Some(slot) = waiting.wish.slot {
            self.complete_refused(worker, slot, "subscribe", refusal);
        }
        self.publish_held(worker, channel, waiting.held, false);
    }

    pub(super) fn unsubscribe(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        request: &UnsubscribeRequest<'_>,
    ) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        self.leave(worker, &request.channel);
        self.reply(worker, id, ReplyBody::Unsubscribe);
    }

    /// Takes the session out of a room without its asking, and tells the client why.
    pub fn unsubscribe_with(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str, code: UnsubscribeCode) {
        if code == UnsubscribeCode::Server {
            self.take_rest(worker, |room| &*room.channel == channel);
        }
        if self.leave(worker, channel) {
            self.push_message(
                worker,
                &Push::Unsubscribe {
                    channel,
                    code: code.code(),
                    reason: code.reason(),
                },
                None,
            );
        }
    }

    /// The room goes on after a gap that cannot be filled: a client that counts on its position has to resubscribe, one
    /// that did not subscribe by itself has to connect again.
    pub fn position_lost(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>) {
        let (positioned, by_server, held) = match self.subscriptions.borrow_mut().of_room(room) {
            Some(subscription) => (
                subscription.positioned,
                subscription.by_server,
                subscription.held.clone(),
            ),
            None => return,
        };
        if !positioned {
            if let Some(held) = held {
                held.forget_position();
            }
            return;
        }
        if by_server {
            self.end(worker, &Ending::Disconnect(DisconnectCode::InsufficientState));
        } else {
            self.unsubscribe_with(worker, &room.channel, UnsubscribeCode::InsufficientState);
        }
    }

    pub fn unsubscribe_all_by_server(self: &Rc<Self>, worker: &Rc<Worker>) {
        let rooms = self.subscriptions.borrow().channels();
        for channel in rooms.into_iter().chain(self.asking()) {
            self.unsubscribe_with(worker, &channel, UnsubscribeCode::Server);
        }
    }

    /// Takes what was published in some of its rooms and waits for its turn: an order to leave them overtakes nothing. That
    /// may be too much for a slow reader, whose session ends by it.
    pub(super) fn take_rest(self: &Rc<Self>, worker: &Rc<Worker>, is_meant: impl Fn(&Room) -> bool) {
        let places: Vec<_> = (self.subscriptions.borrow().0.iter())
            .filter(|subscription| subscription.room.has_backlog() && is_meant(&subscription.room))
            .filter_map(|subscription| Some((subscription.room.clone(), subscription.place?)))
            .collect();
        for (room, place) in places {
            worker.give_rest(&room, place, self);
        }
    }

    /// Whether the session was in the room or on its way into it.
    pub(super) fn leave(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str) -> bool {
        let taken = self.subscriptions.borrow_mut().take(channel);
        if let Some(subscription) = &taken {
            self.depart(worker, subscription);
        }
        // Whom the server puts in meanwhile may still be asking.
        self.stop_asking(worker, channel) || taken.is_some()
    }

    pub(super) fn leave_all(self: &Rc<Self>, worker: &Rc<Worker>) {
        for subscription in std::mem::take(&mut *self.subscriptions.borrow_mut()).0 {
            self.depart(worker, &subscription);
        }
    }

    fn depart(self: &Rc<Self>, worker: &Rc<Worker>, subscription: &Subscription) {
        let room = &subscription.room;
        if subscription.present {
            worker.gateway.presence.leave(&room.channel, self.id);
        }
        let (unanswered, said) = if let Some(place) = subscription.place {
            room.remove(place);
            worker.gateway.metrics.rooms.subscriptions.dec();
            if let Some(held) = &subscription.held {
                held.drop_all(worker);
            }
            let held = subscription.held.as_ref();
            (held.and_then(|held| held.unanswered()), Vec::new())
        } else {
            let waiting = room.stop_waiting(self);
            waiting.map_or((None, Vec::new()), |waiting| (waiting.wish.slot, waiting.held))
        };
        // A join that its client took back is answered as if it had come first.
        if let Some(slot) = unanswered {
            self.complete(worker, slot, ReplyBody::Subscribe(SubscribeResult::default()));
        }
        self.publish_held(worker, &room.channel, said, true);
        self.forget_grant(worker, &room.channel);
        worker.leave_if_empty(room);
    }
}

/// What a client asks for that does not want every publication as it is. Differences that it may not have it does not get;
/// it is told so.
pub(super) fn taste(
    request: &SubscribeRequest<'_>,
    namespace: &Namespace,
) -> Result<Option<Rc<Taste>>, Refusal> {
    let refused = |reason| Refusal::because(ErrorCode::BadRequest, reason);
    if !matches!(&*request.delta, "" | FOSSIL) {
        return Err(refused("delta: the only kind is fossil"));
    }
    let delta = request.delta == FOSSIL && namespace.has_deltas();
    let filter = match &request.tf {
        Some(_) if !namespace.options.tags_filter => {
            return Err(refused("tf: the namespace has no tags_filter"));
        }
        Some(root) => Some(Filter::new(root).map_err(|_| refused(BAD_FILTER))?),
        None => None,
    };
    let is_plain = filter.is_none() && !delta;
    Ok((!is_plain).then(|| Rc::new(Taste { filter, delta })))
}

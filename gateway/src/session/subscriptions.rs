//! The rooms that a session is in: joining, leaving, being told.

use std::rc::Rc;

use natter_protocol::{
    ErrorCode, Push, ReplyBody, ServerSubscription, SubscribeRequest, SubscribeResult, UnsubscribeCode,
    UnsubscribeRequest,
};

use super::{Session, replies::ReplySlot};
use crate::{
    bus::BusError,
    channel::Channel,
    gateway::error_code,
    namespace::Asker,
    room::{MemberIndex, Room, Waiting},
    worker::Worker,
};

#[derive(Default)]
pub(super) struct Subscriptions(Vec<Subscription>);

struct Subscription {
    room: Rc<Room>,
    /// `None` while the room is being joined.
    place: Option<MemberIndex>,
}

impl Subscriptions {
    fn find(&self, channel: &str) -> Option<&Subscription> {
        self.0
            .iter()
            .find(|subscription| &*subscription.room.channel == channel)
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
        if let Err(error) = self.may_subscribe(worker, request) {
            return self.reply_error(worker, id, "subscribe", error);
        }
        let slot = self.defer_reply(id);
        if let Err(error) = self.join(worker, &request.channel, Some(slot)) {
            worker
                .gateway
                .metrics
                .protocol
                .command_failed("subscribe", error.code());
            self.complete(worker, slot, ReplyBody::Error(error));
        }
    }

    fn may_subscribe(&self, worker: &Worker, request: &SubscribeRequest<'_>) -> Result<(), ErrorCode> {
        let live = worker.live();
        let namespace = live.namespace(&request.channel)?;
        let asker = Asker {
            has_user: !self.user().is_empty(),
            is_member: false,
        };
        // No key is configured to check a subscription token with.
        if !request.token.is_empty() || !namespace.may_subscribe(asker) {
            return Err(ErrorCode::PermissionDenied);
        }
        if request.tf.is_some() {
            return Err(ErrorCode::NotAvailable);
        }
        Ok(())
    }

    /// Joins a room, once its bus subscription is live. `slot` is where a client's command is answered; without it
    /// the subscription was made by the server API and the client is told by a push.
    pub fn join(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        slot: Option<ReplySlot>,
    ) -> Result<(), ErrorCode> {
        {
            let subscriptions = self.subscriptions.borrow();
            if subscriptions.find(channel).is_some() {
                return Err(ErrorCode::AlreadySubscribed);
            }
            if subscriptions.0.len() >= worker.live().settings.client.channel_limit {
                return Err(ErrorCode::LimitExceeded);
            }
        }
        let room = worker.enter(channel)?;
        let is_live = room.live.get();
        if is_live {
            let place = Some(room.add(self.clone()));
            self.subscriptions.borrow_mut().add(Subscription {
                room: room.clone(),
                place,
            });
            self.joined(worker, &room, slot);
        } else {
            room.wait(Waiting {
                session: self.clone(),
                slot,
                held: Vec::new(),
            });
            self.subscriptions
                .borrow_mut()
                .add(Subscription { room, place: None });
        }
        Ok(())
    }

    /// The bus delivers the room that this session waited for.
    pub fn room_is_live(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, waiting: Waiting) {
        let place = room.add(self.clone());
        for subscription in &mut self.subscriptions.borrow_mut().0 {
            if Rc::ptr_eq(&subscription.room, room) {
                subscription.place = Some(place);
            }
        }
        self.joined(worker, room, waiting.slot);
        self.publish_held(worker, &room.channel, waiting.held, true);
    }

    fn joined(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, slot: Option<ReplySlot>) {
        worker.gateway.metrics.rooms.subscriptions.inc();
        match slot {
            Some(slot) => self.complete(worker, slot, ReplyBody::Subscribe(SubscribeResult::default())),
            None => self.push_message(
                worker,
                &Push::Subscribe {
                    channel: &room.channel,
                    subscription: ServerSubscription::default(),
                },
            ),
        }
    }

    /// The bus could not subscribe the room that this session waited for.
    pub fn room_failed(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &Channel,
        waiting: Waiting,
        error: BusError,
    ) {
        self.subscriptions.borrow_mut().take(channel);
        if let Some(slot) = waiting.slot {
            let code = error_code(error);
            worker
                .gateway
                .metrics
                .protocol
                .command_failed("subscribe", code.code());
            self.complete(worker, slot, ReplyBody::Error(code));
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

    /// Takes the session out of a room by order of the server API, and tells the client.
    pub fn unsubscribe_by_server(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str) {
        if self.leave(worker, channel) {
            let code = UnsubscribeCode::Server;
            self.push_message(
                worker,
                &Push::Unsubscribe {
                    channel,
                    code: code.code(),
                    reason: code.reason(),
                },
            );
        }
    }

    pub fn unsubscribe_all_by_server(self: &Rc<Self>, worker: &Rc<Worker>) {
        let rooms: Vec<_> = self
            .subscriptions
            .borrow()
            .0
            .iter()
            .map(|subscription| subscription.room.clone())
            .collect();
        for room in rooms {
            self.unsubscribe_by_server(worker, &room.channel);
        }
    }

    /// Whether the session was in the room or on its way into it.
    fn leave(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str) -> bool {
        let taken = self.subscriptions.borrow_mut().take(channel);
        taken.is_some_and(|subscription| {
            self.depart(worker, &subscription);
            true
        })
    }

    pub(super) fn leave_all(self: &Rc<Self>, worker: &Rc<Worker>) {
        for subscription in std::mem::take(&mut *self.subscriptions.borrow_mut()).0 {
            self.depart(worker, &subscription);
        }
    }

    fn depart(self: &Rc<Self>, worker: &Rc<Worker>, subscription: &Subscription) {
        let room = &subscription.room;
        if let Some(place) = subscription.place {
            room.remove(place);
            worker.gateway.metrics.rooms.subscriptions.dec();
        } else if let Some(waiting) = room.stop_waiting(self) {
            // A join that its client took back is answered as if it had come first.
            if let Some(slot) = waiting.slot {
                self.complete(worker, slot, ReplyBody::Subscribe(SubscribeResult::default()));
            }
            self.publish_held(worker, &room.channel, waiting.held, true);
        }
        worker.leave_if_empty(room);
    }
}

//! Joins that a backend is asked about. The room is joined only when it may be: until then what its client says there is kept,
//! and said as a member's or, when it may not, as anybody's.

use std::rc::Rc;

use natter_protocol::{ErrorCode, Payload, ReplyBody, SubscribeRequest, SubscribeResult};

use crate::{
    channel::Channel,
    proxy::{ProxyKind, Question, Subscribed},
    room::HeldMessage,
    session::{Refusal, ReplySlot, Session, Wish, time_until},
    wire::Encoding,
    worker::Worker,
};

/// A join that is not judged yet.
pub(super) struct Asking {
    channel: Channel,
    slot: ReplySlot,
    held: Vec<HeldMessage>,
}

impl Session {
    /// Lets a backend judge a join that the room's policy permits.
    pub(in crate::session) fn subscribe_by_proxy(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        request: &SubscribeRequest<'_>,
        wish: Wish,
        name: &str,
    ) {
        let question = Question {
            channel: &request.channel,
            token: &request.token,
            data: request.data.map(Payload::bytes),
            ..Question::default()
        };
        let takes_bytes = self.wire.encoding == Encoding::Protobuf;
        let asked = self.may_ask_to_join(worker, &request.channel).and_then(|()| {
            self.question(worker, ProxyKind::Subscribe, name, question, takes_bytes)
                .map_err(Refusal::from)
        });
        match asked {
            Err(refusal) => self.complete_refused(worker, slot, "subscribe", refusal),
            Ok(asked) => {
                self.await_judgement(&request.channel, slot);
                let wanted = Self::owned(request);
                self.ask(worker, slot, asked, move |session, worker, answered| {
                    let verdict = answered.map(|answered| answered.verdict);
                    let permitted = session.judged(worker, slot, "subscribe", verdict);
                    session.join_judged(worker, (slot, wish), &wanted, permitted);
                });
            }
        }
    }

    /// From now on the client's join waits for somebody's word, and what it says there waits for the join.
    pub(in crate::session) fn await_judgement(&self, channel: &str, slot: ReplySlot) {
        let asking = Asking {
            channel: Channel::from(channel),
            slot,
            held: Vec::new(),
        };
        self.with_backend(|backend| backend.askings.push(asking));
    }

    /// What a join would be refused for anyway.
    pub(in crate::session) fn may_ask_to_join(&self, worker: &Worker, channel: &str) -> Result<(), Refusal> {
        let rooms = self.subscriptions.borrow().count();
        let limit = worker.live().settings.client.channel_limit;
        if self.is_in(channel) || self.is_asking(channel) {
            Err(ErrorCode::AlreadySubscribed.into())
        } else if rooms + self.with_askings(<[Asking]>::len) >= limit {
            Err(ErrorCode::LimitExceeded.into())
        } else {
            Ok(())
        }
    }

    /// Joins the room if that is `permitted`; otherwise the client was told why not.
    pub(in crate::session) fn join_judged(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        (slot, wish): (ReplySlot, Wish),
        wanted: &SubscribeRequest<'static>,
        permitted: Option<Subscribed>,
    ) {
        let asking = self.take_asking(|asking| asking.slot == slot);
        let held = asking.map(|asking| asking.held).unwrap_or_default();
        let has_joined = match permitted {
            Some(subscribed) => self.join_permitted(worker, (slot, wish), wanted, subscribed),
            None => false,
        };
        if self.is_over() {
            return;
        }
        // The server may have put it in meanwhile.
        let is_in = has_joined || self.is_member(&wanted.channel);
        match self.joining(&wanted.channel) {
            Some(room) => held.into_iter().for_each(|held| room.hold(self, held)),
            None => self.publish_held(worker, &wanted.channel, held, is_in),
        }
    }

    /// Whether the client is in the room, or on its way.
    fn join_permitted(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        (slot, wish): (ReplySlot, Wish),
        wanted: &SubscribeRequest<'static>,
        subscribed: Subscribed,
    ) -> bool {
        let channel = &wanted.channel;
        if subscribed.expire_at != 0 && time_until(subscribed.expire_at).is_none() {
            self.complete_refused(worker, slot, "subscribe", ErrorCode::Expired);
            return false;
        }
        let grant = subscribed.into_grant(channel);
        let live = worker.live();
        let joined = live
            .namespace(channel)
            .map_err(Refusal::from)
            .and_then(|namespace| {
                let mut wish = wish.permitted(wanted, namespace, &grant.into());
                wish.slot = Some(slot);
                self.join(worker, channel, wish)
            });
        match joined {
            Ok(()) => true,
            Err(refusal) => {
                self.complete_refused(worker, slot, "subscribe", refusal);
                false
            }
        }
    }

    /// Keeps what is said in a room while a backend is asked about joining it.
    pub(in crate::session) fn hold_while_asking(&self, channel: &str, held: HeldMessage) {
        self.with_backend(|backend| {
            let asking = backend
                .askings
                .iter_mut()
                .find(|asking| &*asking.channel == channel);
            if let Some(asking) = asking {
                asking.held.push(held);
            }
        });
    }

    /// Ends a join that is not judged yet, as if it had come first; false when there is none.
    pub(in crate::session) fn stop_asking(self: &Rc<Self>, worker: &Rc<Worker>, channel: &str) -> bool {
        let Some(asking) = self.take_asking(|asking| &*asking.channel == channel) else {
            return false;
        };
        self.give_up(&asking.slot.into());
        self.complete(
            worker,
            asking.slot,
            ReplyBody::Subscribe(SubscribeResult::default()),
        );
        self.publish_held(worker, channel, asking.held, false);
        true
    }

    /// The rooms that a backend is asked about.
    pub(in crate::session) fn asking(&self) -> Vec<Channel> {
        self.with_askings(|askings| askings.iter().map(|asking| asking.channel.clone()).collect())
    }

    pub(in crate::session) fn is_asking(&self, channel: &str) -> bool {
        self.with_askings(|askings| askings.iter().any(|asking| &*asking.channel == channel))
    }

    /// What of a request is needed when it is judged.
    pub(in crate::session) fn owned(request: &SubscribeRequest<'_>) -> SubscribeRequest<'static> {
        SubscribeRequest {
            channel: request.channel.to_string().into(),
            recover: request.recover,
            epoch: request.epoch.to_string().into(),
            offset: request.offset,
            positioned: request.positioned,
            recoverable: request.recoverable,
            flag: request.flag,
            ..SubscribeRequest::default()
        }
    }

    fn with_askings<R>(&self, read: impl FnOnce(&[Asking]) -> R) -> R {
        let backend = self.backend.borrow();
        read(backend.as_ref().map_or(&[], |backend| backend.askings.as_slice()))
    }

    fn take_asking(&self, is_meant: impl Fn(&Asking) -> bool) -> Option<Asking> {
        let mut backend = self.backend.borrow_mut();
        let askings = &mut backend.as_mut()?.askings;
        let index = askings.iter().position(is_meant)?;
        Some(askings.swap_remove(index))
    }
}

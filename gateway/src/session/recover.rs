//! Catching up in a durable room: from what a client says it has to the room's head, and on from there without a gap.
//!
//! The position at which a session joins divides the room: what came before is read, once for all who ask
//! ([`crate::recovery`]); what comes after is held until the answer with the former has gone out.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use natter_protocol::{DisconnectCode, ErrorCode, ReplyBody, SubscribeRequest, SubscribeResult};

use super::{Ending, ReplySlot, Session, output::SLOW_READER};
use crate::{
    bus::BusError,
    config::RecoveryMode,
    frame::Frame,
    gateway::error_code,
    history::{Position, Query},
    namespace::{Asker, Namespace},
    publication::Publication,
    recovery::{Missed, Piece},
    room::{MemberIndex, Room},
    worker::Worker,
};

/// What a join asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Where a client's command is answered; without it the subscription was made by the server API and the client is
    /// told by a push.
    pub slot: Option<ReplySlot>,
    positioned: bool,
    recoverable: bool,
    /// Where the client was before.
    recover: Option<Rc<Former>>,
}

#[derive(Debug)]
struct Former {
    /// Empty when the client has none.
    epoch: String,
    offset: u64,
}

/// Publications that wait until their reader has recovered.
pub(super) struct Held {
    pub(super) wish: Wish,
    /// Where the session joined; what is held follows it.
    position: Position,
    /// What the client has when it has recovered: beyond the position if it came ahead of it.
    until: u64,
    /// What the client has, or is brought by the answer, if it recovers: beyond the position when the client is ahead.
    until: u64,
    frames: RefCell<Vec<(u64, Arc<Frame>)>>,
}

/// How a join goes on.
enum Plan {
    Answer {
        recovered: bool,
        publications: Vec<Arc<Publication>>,
    },
    Read(Piece),
    /// The newest publication only.
    ReadNewest,
}

impl Wish {
    /// What of a client's request its namespace grants.
    pub(super) fn of(request: &SubscribeRequest<'_>, namespace: &Namespace, asker: Asker) -> Self {
        let Some(policy) = &namespace.history else {
            return Self::default();
        };
        let options = &policy.options;
        // Who recovers reads history.
        let may_read = namespace.may_read_history(Asker {
            is_member: true,
            ..asker
        });
        let recoverable = options.force_recovery || (request.recoverable && may_read);
        let positioned = recoverable || options.force_positioning || (request.positioned && may_read);
        let recover = (request.recover && recoverable).then(|| {
            Rc::new(Former {
                epoch: request.epoch.to_string(),
                offset: request.offset,
            })
        });
        Self {
            slot: None,
            positioned,
            recoverable,
            recover,
        }
    }

    pub(super) fn is_positioned(&self) -> bool {
        self.positioned
    }
}

impl Session {
    /// Answers a join, at once or when what the client missed was read.
    pub(super) fn catch_up(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        place: MemberIndex,
        wish: Wish,
    ) {
        let Some(position) = room.position().filter(|_| wish.positioned) else {
            return self.answer_join(worker, room, &wish, SubscribeResult::default());
        };
        let Some(former) = wish.recover.clone() else {
            return self.answer_at(worker, room, &wish, &position, false, &[]);
        };
        match plan(worker, room, &former, &position) {
            Plan::Answer {
                recovered,
                publications,
            } => {
                worker.gateway.metrics.recovery.answered(recovered);
                self.answer_at(worker, room, &wish, &position, recovered, &publications);
            }
            Plan::Read(piece) => {
                let Some(bus) = worker.gateway.bus() else { return };
                let until = piece.until;
                let missed = worker.gateway.recovery.read(bus, piece);
                let held = self.hold_back(room, place, wish, position, until);
                let (session, worker, room) = (self.clone(), worker.clone(), room.clone());
                tokio::task::spawn_local(async move {
                    session.recovered(&worker, &room, &held, missed.await);
                });
            }
            Plan::ReadNewest => self.read_newest(worker, room, place, wish, position),
        }
    }

    fn read_newest(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        place: MemberIndex,
        wish: Wish,
        position: Position,
    ) {
        let (Some(bus), Some(policy)) = (worker.gateway.bus(), &room.namespace.history) else {
            return;
        };
        // Two: one may be newer than the position, and comes by itself.
        let read = bus.history(
            &room.channel,
            policy,
            Query {
                since: None,
                limit: 2,
                reverse: true,
            },
        );
        let until = position.offset;
        let held = self.hold_back(room, place, wish, position, until);
        let (session, worker, room) = (self.clone(), worker.clone(), room.clone());
        tokio::task::spawn_local(async move {
            let missed = read.await.map(|page| {
                let newest = page
                    .publications
                    .into_iter()
                    .find(|publication| publication.offset <= until);
                newest.map_or(Missed::TooMuch, |publication| Missed::All(vec![publication]))
            });
            session.recovered(&worker, &room, &held, missed);
        });
    }

    /// From now on the member's publications wait.
    fn hold_back(
        &self,
        room: &Rc<Room>,
        place: MemberIndex,
        wish: Wish,
        position: Position,
        until: u64,
    ) -> Rc<Held> {
        room.hold_back(place);
        let held = Rc::new(Held {
            wish,
            position,
            until,
            frames: RefCell::default(),
        });
        if let Some(subscription) = self.subscriptions.borrow_mut().of_room(room) {
            subscription.held = Some(held.clone());
        }
        held
    }

    /// Keeps a publication for a member that recovers. What waits counts as what it does not read.
    pub fn hold(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, offset: u64, frame: &Arc<Frame>) {
        let held = self
            .subscriptions
            .borrow_mut()
            .of_room(room)
            .and_then(|subscription| subscription.held.clone());
        let Some(held) = held else { return };
        let mut frames = held.frames.borrow_mut();
        if offset <= held.position.offset {
            return;
        }
        let bytes: usize = frames.iter().map(|(_, frame)| frame.bytes().len()).sum();
        if bytes + frame.bytes().len() > worker.queue_max_size() {
            drop(frames);
            worker.dropped(frame, SLOW_READER);
            return self.end(worker, &Ending::Disconnect(DisconnectCode::Slow));
        }
        frames.push((offset, frame.clone()));
    }

    /// What was missed is known: the answer goes out, and then what was held. If it could not be read now, the client
    /// is told to try again: nothing is lost.
    fn recovered(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        held: &Rc<Held>,
        missed: Result<Missed, BusError>,
    ) {
        let Some(place) = self.stop_holding(room, held) else {
            return;
        };
        let (recovered, publications) = match missed {
            Ok(Missed::All(publications)) => (true, publications),
            Ok(Missed::TooMuch) => (false, Vec::new()),
            Err(error) => return self.take_back(worker, room, &held.wish, error_code(error)),
        };
        worker.gateway.metrics.recovery.answered(recovered);
        self.answer_at(worker, room, &held.wish, &held.position, recovered, &publications);
        let since = if recovered {
            held.until
        } else {
            held.position.offset
        };
        let frames = held.frames.take();
        if let Some(place) = place {
            let newest = frames.last().map_or(since, |(offset, _)| since.max(*offset));
            room.release(place, newest);
        }
        for (_, frame) in frames.iter().filter(|(offset, _)| *offset > since) {
            self.push(worker, frame);
        }
    }

    /// The member's place; `None` when the client has left the room meanwhile, and perhaps is even back in it.
    fn stop_holding(&self, room: &Rc<Room>, held: &Rc<Held>) -> Option<Option<MemberIndex>> {
        let mut subscriptions = self.subscriptions.borrow_mut();
        let subscription = subscriptions.of_room(room)?;
        let is_present = |present: &Rc<Held>| Rc::ptr_eq(present, held);
        subscription.held.take_if(|present| is_present(present))?;
        Some(subscription.place)
    }

    /// Ends a join that cannot be completed.
    fn take_back(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, wish: &Wish, code: ErrorCode) {
        worker
            .gateway
            .metrics
            .protocol
            .command_failed("subscribe", code.code());
        self.leave(worker, &room.channel);
        if let Some(slot) = wish.slot {
            self.complete(worker, slot, ReplyBody::Error(code));
        }
    }

    /// Answers a join at `position`. A client that recovered goes on from where it was: the publications bring it here.
    fn answer_at(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        wish: &Wish,
        position: &Position,
        recovered: bool,
        publications: &[Arc<Publication>],
    ) {
        let former = wish.recover.as_ref();
        let offset = match former {
            Some(former) if recovered => former.offset,
            _ => position.offset,
        };
        let publications: Vec<_> = publications
            .iter()
            .filter_map(|publication| publication.as_protocol())
            .collect();
        let result = SubscribeResult {
            recoverable: wish.recoverable,
            positioned: wish.positioned,
            epoch: position.epoch.as_str(),
            offset,
            recovered,
            was_recovering: former.is_some(),
            publications: &publications,
            ..SubscribeResult::default()
        };
        self.answer_join(worker, room, wish, result);
    }
}

/// How a client that was at `former` catches up with `position`.
fn plan(worker: &Worker, room: &Room, former: &Former, position: &Position) -> Plan {
    let nothing = |recovered| Plan::Answer {
        recovered,
        publications: Vec::new(),
    };
    let Some(policy) = room.namespace.history.clone() else {
        return nothing(false);
    };
    let same_epoch = former.epoch.is_empty() || former.epoch == position.epoch.as_str();
    if policy.options.recovery_mode == RecoveryMode::Cache {
        let up_to_date = former.epoch == position.epoch.as_str() && former.offset == position.offset;
        return if up_to_date {
            nothing(true)
        } else {
            Plan::ReadNewest
        };
    }
    if !same_epoch {
        return nothing(false);
    }
    if former.offset == position.offset {
        return nothing(true);
    }
    let piece = Piece {
        channel: room.channel.clone(),
        policy,
        since: former.offset,
        until: position.offset.max(former.offset),
        limit: worker.live().settings.client.recovery_limit,
    };
    if former.offset > position.offset {
        // Another gateway was faster, and this one will hear what the client has already; or there is no such offset.
        // The stream knows.
        return Plan::Read(piece);
    }
    match worker.gateway.recovery.at_hand(&piece) {
        Some(Missed::All(publications)) => Plan::Answer {
            recovered: true,
            publications,
        },
        Some(Missed::TooMuch) => nothing(false),
        None => Plan::Read(piece),
    }
}

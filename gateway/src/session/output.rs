//! From a session towards its client: replies in order, pushes, the flush at the end of the worker's turn.

use std::{rc::Rc, sync::Arc};

use natter_protocol::{DisconnectCode, Push, Reply, ReplyBody};

use super::{Ending, Refusal, ReplySlot, Session, recover::Held, replies::Answer};
use crate::{
    frame::Frame,
    history::MAX_PAGE_BYTES,
    outbox::{Flushed, Full, Outbox},
    publication::Publication,
    worker::{Lane, Worker},
};

/// Room for a reply without payloads, in bytes.
const REPLY_CAPACITY: usize = 192;
/// Part of a reader's queue beyond which it gets nothing that can be left out.
const SPARE_PART: usize = 4;
/// Replies that wait and are no reason to refuse a large one, in bytes.
const SMALL_REPLIES: usize = 64 * 1024;
/// Why a socket did not get a publication (label of the metric): it did not read fast enough.
pub(super) const SLOW_READER: &str = "slow_reader";
/// As above: the connection ended before the publication was written.
pub(super) const CONNECTION_ENDED: &str = "connection_ended";
/// As above: the member left the room, or its connection ended, before its join was answered.
pub(super) const LEFT: &str = "left";
/// As above: the member got it with the answer to its join.
pub(super) const RECOVERED: &str = "recovered";

impl Session {
    /// Answers a command, behind the answers to all earlier ones.
    pub(super) fn reply(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, body: ReplyBody<'_>) {
        self.answer(worker, self.reply_frame(id, body), None);
    }

    pub(super) fn reply_frame(&self, id: u32, body: ReplyBody<'_>) -> Arc<Frame> {
        Arc::new(self.wire.reply(REPLY_CAPACITY, &Reply { id, body }))
    }

    pub(super) fn reply_error(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        command: &'static str,
        refusal: impl Into<Refusal>,
    ) {
        let refusal = refusal.into();
        worker
            .gateway
            .metrics
            .protocol
            .command_failed(command, refusal.code.code());
        self.reply(worker, id, refusal.body());
    }

    pub(crate) fn defer_reply(&self, id: u32) -> ReplySlot {
        self.replies.borrow_mut().defer(id)
    }

    /// Fills the place of a reply by an error.
    pub(super) fn complete_refused(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        command: &'static str,
        refusal: impl Into<Refusal>,
    ) {
        if self.is_over() {
            return; // Nobody is told.
        }
        let refusal = refusal.into();
        let protocol = &worker.gateway.metrics.protocol;
        protocol.command_failed(command, refusal.code.code());
        self.complete(worker, slot, refusal.body());
    }

    /// Fills the place of a reply and sends all that waited for it.
    pub(super) fn complete(self: &Rc<Self>, worker: &Rc<Worker>, slot: ReplySlot, body: ReplyBody<'_>) {
        self.complete_and_release(worker, slot, body, None);
    }

    /// As [`Session::complete`]; what is held goes out right behind the reply.
    pub(super) fn complete_and_release(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        body: ReplyBody<'_>,
        held: Option<Rc<Held>>,
    ) {
        self.complete_frame(
            worker,
            slot,
            self.reply_frame(slot.id, body),
            held.into_iter().collect(),
        );
    }

    pub(super) fn complete_frame(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        frame: Arc<Frame>,
        held: Vec<Rc<Held>>,
    ) {
        let was_full = self.replies.borrow().is_full();
        let answers = self.replies.borrow_mut().complete(slot, Answer { frame, held });
        for answer in answers {
            self.write(worker, &answer);
        }
        if was_full {
            self.wake();
        }
    }

    /// Tells the client of a change of its subscriptions, behind the answers to its earlier commands.
    pub(super) fn push_message(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        push: &Push<'_>,
        held: Option<Rc<Held>>,
    ) {
        let frame = Arc::new(self.wire.push(REPLY_CAPACITY, push));
        self.answer(worker, frame, held);
    }

    /// Whether a reply may bring these publications, or its client has so much to read that it has to ask again later:
    /// the replies to one frame of commands would fill the memory, and cutting their reader would make it ask for all of
    /// it anew.
    pub(super) fn has_room_for(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        publications: &[Arc<Publication>],
    ) -> bool {
        let data = publications.iter().map(|publication| publication.data.len());
        self.has_room_for_bytes(worker, data.sum())
    }

    /// As [`Session::has_room_for`], of so many bytes.
    pub(super) fn has_room_for_bytes(self: &Rc<Self>, worker: &Rc<Worker>, size: usize) -> bool {
        let fits = || {
            let waiting =
                self.outbox.borrow().own_bytes() + self.replies.borrow().bytes() + self.connecting_bytes();
            waiting <= SMALL_REPLIES || waiting + size <= MAX_PAGE_BYTES
        };
        if size == 0 || fits() {
            return true;
        }
        // Only what the kernel does not take counts.
        if !self.blocked.get() {
            self.flush(worker);
        }
        fits()
    }

    fn answer(self: &Rc<Self>, worker: &Rc<Worker>, frame: Arc<Frame>, held: Option<Rc<Held>>) {
        let held = held.into_iter().collect();
        let ready = self.replies.borrow_mut().ready(Answer { frame, held });
        if let Some(answer) = ready {
            self.write(worker, &answer);
        }
    }

    fn write(self: &Rc<Self>, worker: &Rc<Worker>, answer: &Answer) {
        self.push(worker, &answer.frame);
        for held in &answer.held {
            self.release(worker, held);
        }
    }

    /// Queues a frame to be written at the end of the turn. A reader that is too slow for it is cut.
    pub fn push(self: &Rc<Self>, worker: &Rc<Worker>, frame: &Arc<Frame>) {
        self.push_in(worker, frame, Lane::Prompt);
    }

    /// As [`Session::push`], to be written when it is the turn of a lane.
    pub fn push_in(self: &Rc<Self>, worker: &Rc<Worker>, frame: &Arc<Frame>, lane: Lane) {
        if self.is_over() {
            return worker.dropped(frame, CONNECTION_ENDED);
        }
        if self.try_push(worker, frame) == Err(Full) {
            worker.dropped(frame, SLOW_READER);
            return self.end(worker, &Ending::Disconnect(DisconnectCode::Slow));
        }
        worker.mark_dirty(self, lane);
    }

    /// Queues a frame that is left out when its reader is slow; says whether it was queued.
    pub(super) fn push_spare(self: &Rc<Self>, worker: &Rc<Worker>, frame: &Arc<Frame>) -> bool {
        if self.is_over() {
            return false;
        }
        let limit = worker.queue_max_size() / SPARE_PART;
        let mut taken = self.with_outbox(worker, |outbox| outbox.push_spare(frame.clone(), limit));
        if !taken && !self.blocked.get() {
            self.flush(worker);
            taken = self.with_outbox(worker, |outbox| outbox.push_spare(frame.clone(), limit));
        }
        if taken {
            worker.mark_dirty(self, Lane::Bulk);
        }
        taken
    }

    /// The burst of one turn alone makes no slow reader: only what the kernel does not take counts.
    fn try_push(self: &Rc<Self>, worker: &Rc<Worker>, frame: &Arc<Frame>) -> Result<(), Full> {
        let limit = worker.queue_max_size();
        let pushed = self.with_outbox(worker, |outbox| outbox.push(frame.clone(), limit));
        if pushed.is_ok() || self.blocked.get() {
            return pushed;
        }
        self.flush(worker);
        self.with_outbox(worker, |outbox| outbox.push(frame.clone(), limit))
    }

    /// Every change of what waits goes through here, to be counted.
    pub(super) fn with_outbox<R>(&self, worker: &Worker, change: impl FnOnce(&mut Outbox) -> R) -> R {
        let mut outbox = self.outbox.borrow_mut();
        let before = outbox.publications();
        let result = change(&mut outbox);
        // Bounded by the queue's bytes, far below i64.
        worker
            .counters()
            .queued(outbox.publications().cast_signed() as i64 - before.cast_signed() as i64);
        result
    }

    /// Queues the close frame behind what waits already, as the peer may still want it, unless it reads too slowly or
    /// has closed itself.
    pub(super) fn say_goodbye(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        ending: &Ending,
        code: u16,
        reason: &str,
    ) {
        let close = if self.is_stream() {
            let reconnect = ending.reconnects();
            self.wire.push(
                REPLY_CAPACITY,
                &Push::Disconnect {
                    code,
                    reason,
                    reconnect,
                },
            )
        } else {
            Frame::from_bytes(natter_websocket::close(code, reason))
        };
        self.with_outbox(worker, |outbox| {
            match ending {
                Ending::Disconnect(DisconnectCode::Slow) => {
                    outbox.drop_unbegun(|frame| worker.dropped(frame, SLOW_READER));
                }
                Ending::ClosedByPeer(_) => {
                    outbox.drop_unbegun(|frame| worker.dropped(frame, CONNECTION_ENDED));
                }
                _ => {}
            }
            outbox.push_last(Arc::new(close));
        });
        worker.mark_dirty(self, Lane::Prompt);
        self.await_close(worker);
    }

    /// In which of the worker's lists it is.
    pub fn lane(&self) -> Lane {
        self.lane.get()
    }

    /// Whether the worker has to add it to the list of a lane: it has something to send, and is in no list that is as
    /// good.
    pub fn move_to(&self, lane: Lane) -> bool {
        let moves = !self.blocked.get() && self.lane.get() < lane;
        if moves {
            self.lane.set(lane);
        }
        moves
    }

    /// Writes what is queued; returns how many bytes the kernel took.
    pub fn flush(self: &Rc<Self>, worker: &Rc<Worker>) -> usize {
        self.lane.set(Lane::Clean);
        let counters = worker.counters();
        let before = self.outbox.borrow().bytes();
        let flushed = self.with_outbox(worker, |outbox| {
            outbox.flush(&mut self.socket.borrow_mut(), |frame| worker.delivered(frame))
        });
        let sent = before - self.outbox.borrow().bytes();
        counters.sent(sent);
        match flushed {
            Ok(Flushed::Empty) if self.is_over() => self.socket.borrow_mut().finish_writing(),
            Ok(Flushed::Empty) => {}
            Ok(Flushed::Blocked) => {
                self.blocked.set(true);
                self.wake();
            }
            Err(_) => self.end(worker, &Ending::WriteFailed),
        }
        sent
    }

    /// The peer closed first: nothing more is expected from it, so the answer is the last thing on this socket.
    pub(super) fn close_when_flushed(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.is_over() {
            self.flush(worker);
            if self.outbox.borrow().is_empty() && !self.socket.borrow().has_pending() {
                self.go(worker);
            }
        }
    }
}

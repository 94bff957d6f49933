//! One client connection: a state machine that the worker's events drive.
//!
//! It has one task, which waits for the socket; everything else (a publication for a room it is in, an answer of the
//! bus, a timer, an API call) is a plain call on the same thread. Nothing here waits: a command that needs the bus
//! leaves a place for its reply (`replies`) and goes on. An idle session owns its socket, this struct and one entry
//! in its room and in the worker's timers.

mod backend;
mod commands;
mod connect;
mod ending;
mod expiry;
mod heartbeat;
mod history;
mod output;
mod own_reads;
mod presence;
mod rates;
mod recover;
mod refusal;
mod replies;
mod revocation;
mod rights;
mod stream;
mod subscriptions;
mod terms;
mod token;
mod wish;

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use natter_protocol::DisconnectCode;
use natter_websocket::{Decoder, Incoming, ProtocolError};
use tokio::task::yield_now;
use tokio_util::time::delay_queue;
use tracing::{Level, debug, info};
use uuid::Uuid;

#[cfg(test)]
pub(crate) use self::own_reads::{BYTES, MAX_OPEN};
use self::{
    backend::Backend,
    heartbeat::Heartbeat,
    output::CONNECTION_ENDED,
    own_reads::{OpenRead, OwnReads},
    rates::{Meters, Rest},
    replies::Replies,
    subscriptions::Subscriptions,
    terms::Terms,
};
pub use self::{
    ending::Ending, expiry::time_until, refusal::Refusal, replies::ReplySlot, rights::Rights,
    stream::StreamKey, wish::Wish,
};
use crate::{
    frame::Frame,
    limits::{FileGuard, Place},
    outbox::Outbox,
    socket::Socket,
    wire::{Carrier, Encoding, Wire},
    worker::{Lane, SCRATCH_SIZE, Worker},
};

pub struct Session {
    /// The `client` of the protocol; also the correlation id of its log lines.
    pub id: Uuid,
    /// Who is connected, once known; empty for anonymous clients.
    user: OnceCell<Arc<str>>,
    socket: RefCell<Socket>,
    phase: Cell<Phase>,
    decoder: RefCell<Decoder>,
    outbox: RefCell<Outbox>,
    replies: RefCell<Replies>,
    subscriptions: RefCell<Subscriptions>,
    terms: RefCell<Option<Box<Terms>>>,
    backend: RefCell<Option<Box<Backend>>>,
    meters: Cell<Meters>,
    /// Of a client that has read something; few do.
    own_reads: OnceCell<Rc<OwnReads>>,
    heartbeat: Cell<Heartbeat>,
    timer: Cell<Option<delay_queue::Key>>,
    /// Place in the worker's list of sessions.
    key: Cell<usize>,
    /// Wakes the session's task when something other than the socket has news for it.
    waker: RefCell<Option<Waker>>,
    /// Which of the worker's lists of sockets to write to it is in.
    lane: Cell<Lane>,
    /// The kernel takes no more bytes; the task waits until it does.
    blocked: Cell<bool>,
    wire: Wire,
    /// Of a stream: by which what its client says is known to be said by it, and by which backends may name it.
    secret: Option<Box<Uuid>>,
    /// Compression was negotiated: messages of either side may be compressed.
    compression: bool,
    _file: FileGuard,
    _place: Option<Box<Place>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing but a connect command is accepted.
    Fresh,
    /// Somebody decides whether the client is let in; nothing it says is looked at meanwhile.
    Admitting,
    Connected,
    /// The close frame is queued or sent; of the input only the peer's own close frame is of interest.
    Ending,
    /// As `Ending`, after the peer's close frame or after input that was no frames: nothing follows that means anything.
    Deaf,
    /// To be dropped.
    Gone,
}

impl Session {
    /// `compression` says whether the handshake agreed on it.
    pub fn new(
        socket: Socket,
        user: Option<Arc<str>>,
        wire: Wire,
        compression: bool,
        (file, place): (FileGuard, Option<Box<Place>>),
    ) -> Rc<Self> {
        Rc::new(Self {
            id: Uuid::new_v4(),
            user: user.map_or_else(OnceCell::new, OnceCell::from),
            socket: RefCell::new(socket),
            phase: Cell::new(Phase::Fresh),
            decoder: RefCell::default(),
            outbox: RefCell::default(),
            replies: RefCell::default(),
            subscriptions: RefCell::default(),
            terms: RefCell::default(),
            backend: RefCell::default(),
            meters: Cell::default(),
            own_reads: OnceCell::new(),
            heartbeat: Cell::new(Heartbeat::AwaitingConnect),
            timer: Cell::new(None),
            key: Cell::new(usize::MAX),
            waker: RefCell::new(None),
            lane: Cell::default(),
            blocked: Cell::new(false),
            wire,
            secret: (wire.one_way || wire.carrier != Carrier::WebSocket).then(|| Uuid::new_v4().into()),
            compression,
            _file: file,
            _place: place,
        })
    }

    /// Empty for anonymous clients.
    pub fn user(&self) -> &str {
        self.user.get().map_or("", |user| user)
    }

    /// How it speaks.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Whether its messages may be sent compressed.
    pub fn takes_compressed(&self) -> bool {
        self.compression
    }

    /// Whether nothing is said or heard any more but the close.
    fn is_over(&self) -> bool {
        !matches!(
            self.phase.get(),
            Phase::Fresh | Phase::Admitting | Phase::Connected
        )
    }

    pub fn is_connected(&self) -> bool {
        self.phase.get() == Phase::Connected
    }

    pub fn timer(&self) -> &Cell<Option<delay_queue::Key>> {
        &self.timer
    }

    pub fn key(&self) -> &Cell<usize> {
        &self.key
    }

    /// Serves a WebSocket to its end. `early` came in one packet with the handshake.
    pub async fn run(self: Rc<Self>, worker: Rc<Worker>, early: BytesMut) {
        self.open(&worker);
        let mut early = early;
        self.receive(&worker, &mut early);
        drop(early);
        self.serve(worker).await;
    }

    /// As [`Session::run`]; what its client wants stood in the request that became this connection.
    pub async fn run_asked(self: Rc<Self>, worker: Rc<Worker>, request: Bytes, early: BytesMut) {
        self.open(&worker);
        self.say_once(&worker, &request);
        drop(request);
        let mut early = early;
        self.receive(&worker, &mut early);
        drop(early);
        self.serve(worker).await;
    }

    fn open(self: &Rc<Self>, worker: &Rc<Worker>) {
        debug!(connection = %self.id, user = self.user(), "opened");
        worker.opened(self);
        self.start_heartbeat(worker);
        if worker.gateway.drain.refuses() {
            // Admitted just before the refusals began: those who close all others do not know of it.
            self.end(worker, &Ending::Disconnect(DisconnectCode::Shutdown));
        }
    }

    async fn serve(self: Rc<Self>, worker: Rc<Worker>) {
        let mut rest = Rest::None;
        while let Some(length) = poll_fn(|cx| self.poll_input(cx, &worker, &mut rest)).await {
            match length {
                Ok(0) | Err(_) => self.end(&worker, &Ending::Lost),
                Ok(length) => {
                    self.receive(&worker, &mut worker.scratch()[..length]);
                    if length == SCRATCH_SIZE {
                        // There is more, from a client that never pauses: everybody else's turn comes first.
                        yield_now().await;
                    }
                }
            }
        }
        worker.forget(&self);
    }

    /// The next input, in the worker's scratch; `None` when the session is gone.
    fn poll_input(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        worker: &Rc<Worker>,
        rest: &mut Rest,
    ) -> Poll<Option<io::Result<usize>>> {
        if self.phase.get() == Phase::Gone {
            return Poll::Ready(None);
        }
        self.register(cx);
        if self.blocked.get() && self.socket.borrow().poll_write_ready(cx).is_ready() {
            self.blocked.set(false);
            worker.mark_dirty(self, Lane::Prompt);
        }
        if self.replies.borrow().is_full() || self.rests(cx, worker, rest) {
            return Poll::Pending;
        }
        self.socket
            .borrow_mut()
            .poll_read(cx, &mut worker.scratch()[..])
            .map(Some)
    }

    fn register(&self, cx: &mut Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes bytes off the socket.
    fn receive(self: &Rc<Self>, worker: &Rc<Worker>, bytes: &mut [u8]) {
        worker.counters().received(bytes.len());
        // A stream has nothing more to say by itself: what it says comes to `hear`.
        if self.phase.get() == Phase::Deaf || self.is_stream() {
            return;
        }
        let limits = worker.live().limits;
        let mut rest = bytes;
        loop {
            let next = {
                let mut inflater = self.compression.then(|| worker.inflater());
                let mut decoder = self.decoder.borrow_mut();
                decoder.next(&mut rest, &limits, inflater.as_deref_mut())
            };
            match next {
                Ok(None) => return,
                Ok(Some(incoming)) => self.handle(worker, incoming),
                Err(error) => {
                    return self.misframed(worker, error);
                }
            }
            if matches!(self.phase.get(), Phase::Deaf | Phase::Gone) {
                return;
            }
        }
    }

    fn misframed(self: &Rc<Self>, worker: &Rc<Worker>, error: ProtocolError) {
        worker.gateway.metrics.protocol.violated(error.label());
        self.end(worker, &Ending::Framing(error));
        self.stop_listening();
    }

    fn stop_listening(&self) {
        if self.phase.get() == Phase::Ending {
            self.phase.set(Phase::Deaf);
        }
    }

    fn handle(self: &Rc<Self>, worker: &Rc<Worker>, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Close(close) => {
                if self.phase.get() == Phase::Ending {
                    // The answer to our close frame.
                    return self.go(worker);
                }
                self.end(worker, &Ending::ClosedByPeer(close.map(|close| close.code)));
                self.stop_listening();
            }
            _ if self.phase.get() == Phase::Ending => {}
            Incoming::Text(text) if self.wire.one_way => {
                self.spend(worker, 1);
                self.say_once(worker, text.as_bytes());
            }
            Incoming::Binary(bytes) if self.wire.one_way => {
                self.spend(worker, 1);
                self.say_once(worker, &bytes);
            }
            Incoming::Text(text) => match self.wire.encoding {
                Encoding::Json => self.say_text(worker, &text, 0),
                Encoding::Protobuf => self.refuse(worker, "text_frame"),
            },
            Incoming::Binary(bytes) => match self.wire.encoding {
                // JSON in binary frames is accepted, as the clients' reference server does.
                Encoding::Json => match std::str::from_utf8(&bytes) {
                    Ok(text) => self.say_text(worker, text, 0),
                    Err(_) => self.misframed(worker, ProtocolError::InvalidUtf8),
                },
                Encoding::Protobuf => self.say_bytes(worker, &bytes, 0),
            },
            Incoming::Ping(payload) => {
                self.spend(worker, 1);
                let pong = natter_websocket::pong(&payload);
                self.push(worker, &Arc::new(Frame::from_bytes(pong)));
            }
            Incoming::Pong => self.spend(worker, 1),
        }
    }

    /// Ends the session: it leaves its rooms now, says why, and is gone when the peer has answered or its time is up.
    pub fn end(self: &Rc<Self>, worker: &Rc<Worker>, ending: &Ending) {
        if ending.is_ordered() {
            self.take_rest(worker, |_| true);
        }
        if self.is_over() {
            if matches!(ending, Ending::Lost | Ending::WriteFailed) {
                self.go(worker);
            }
            return;
        }
        let was_connected = self.phase.replace(Phase::Ending) == Phase::Connected;
        // Nothing may have been read while too many answers waited: the peer's close is, from now on.
        self.wake();
        self.record(worker, ending);
        // Nobody is let in any more; what others are told of the client stays for its last words.
        self.stop_connecting();
        self.leave_all(worker);
        self.drop_backend(worker);
        self.terms.take();
        self.replies.borrow_mut().clear();
        self.stop_reading();
        worker.disconnected(self, was_connected);
        match ending.close_frame() {
            Some((code, reason)) => self.say_goodbye(worker, ending, code, reason),
            None => self.go(worker),
        }
        if matches!(ending, Ending::ClosedByPeer(_)) {
            self.close_when_flushed(worker);
        }
    }

    fn record(&self, worker: &Worker, ending: &Ending) {
        let label = ending.label();
        worker.gateway.metrics.connections.closed(label);
        let code = ending.close_frame().map(|(code, _)| code);
        if !ending.is_peers_fault() {
            debug!(connection = %self.id, user = self.user(), reason = label, code, "closed");
        } else if worker.gateway.log_budget.cause(label, Level::INFO).admit() {
            info!(connection = %self.id, user = self.user(), reason = label, code, "closed the connection");
        }
    }

    /// Drops everything at the next turn of the session's task.
    fn go(&self, worker: &Worker) {
        self.phase.set(Phase::Gone);
        self.with_outbox(worker, |outbox| {
            outbox.clear(|frame| worker.dropped(frame, CONNECTION_ENDED));
        });
        worker.cancel_timer(self);
        self.wake();
    }

    /// A command broke the rules of the protocol.
    fn refuse(self: &Rc<Self>, worker: &Rc<Worker>, kind: &'static str) {
        worker.gateway.metrics.protocol.violated(kind);
        self.end(worker, &Ending::Disconnect(DisconnectCode::BadRequest));
    }
}

#[cfg(test)]
mod tests;

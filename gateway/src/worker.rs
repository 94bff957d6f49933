//! One thread that serves its share of the connections: a single-threaded runtime, so nothing here needs a lock.
//!
//! Five kinds of tasks take turns: accepting ([`crate::listener`]), one task for each connection, the inbox (what
//! other threads have for this one), the broadcasts of large and of busy rooms, and the flush. A turn handles all that
//! is ready and only queues what it produces; then the `flush` gives each socket that has something to send one vectored
//! write. So a quiet gateway writes at once, and a busy one writes many frames with each call, which is where nearly all
//! of its time goes.
//!
//! A broadcast costs one note to each worker with members in the room, whatever their number; the worker does the rest
//! among its own.

mod broadcast;
mod closing;
mod commands;
mod compression;
mod flush;
mod give;
mod inbox;
mod presence;
mod reload;
mod timers;

use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use natter_protocol::ErrorCode;
use slab::Slab;
use uuid::Uuid;

pub use self::flush::Lane;
use self::{broadcast::Broadcasts, compression::Codec, flush::Dirty, timers::Timers};
use crate::{
    channel::Channel,
    frame::Frame,
    gateway::{Gateway, Live, TooMany},
    http::{Handshakes, IdleBackends},
    metrics::WorkerCounters,
    outgoing::Outgoing,
    publication::unix_nanos,
    room::Room,
    rooms::{Joined, WorkerId},
    session::Session,
    wire::{Frames, Wire},
};

/// Read buffer shared by all connections of a worker.
pub const SCRATCH_SIZE: usize = 64 * 1024;

pub struct Worker {
    pub id: WorkerId,
    pub gateway: Arc<Gateway>,
    /// The settings as this worker knows them; replaced when a reload is announced.
    live: RefCell<Arc<Live>>,
    counters: WorkerCounters,
    rooms: RefCell<HashMap<Channel, Rc<Room>>>,
    sessions: RefCell<Sessions>,
    handshakes: Handshakes,
    idle_backends: IdleBackends,
    /// Sessions whose clients speak by requests, by what these name.
    streams: RefCell<HashMap<Uuid, Rc<Session>>>,
    scratch: RefCell<Box<[u8]>>,
    codec: Codec,
    broadcasts: Broadcasts,
    dirty: Dirty,
    timers: Timers,
    /// Number of the pace at which connections are closed now, if any.
    pace: Cell<u64>,
    pings: Frames,
}

/// The connections of this worker, for those who ask by user or by client.
#[derive(Default)]
struct Sessions {
    all: Slab<Rc<Session>>,
    by_user: HashMap<Arc<str>, Vec<Rc<Session>>>,
}

impl Worker {
    pub fn new(id: WorkerId, gateway: Arc<Gateway>) -> Rc<Self> {
        Rc::new(Self {
            id,
            live: RefCell::new(gateway.live()),
            counters: WorkerCounters::new(&gateway.metrics),
            gateway,
            rooms: RefCell::default(),
            sessions: RefCell::default(),
            handshakes: Handshakes::default(),
            idle_backends: IdleBackends::default(),
            streams: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_SIZE].into()),
            codec: Codec::default(),
            broadcasts: Broadcasts::default(),
            dirty: Dirty::default(),
            timers: Timers::default(),
            pace: Cell::new(0),
            pings: Frames::default(),
        })
    }

    pub fn live(&self) -> Ref<'_, Arc<Live>> {
        self.live.borrow()
    }

    pub fn queue_max_size(&self) -> usize {
        self.live.borrow().settings.client.queue_max_size
    }

    pub fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// Sockets that have not asked for anything yet.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Sockets of backends that wait for their next call.
    pub fn idle_backends(&self) -> &IdleBackends {
        &self.idle_backends
    }

    /// This worker's share of `http.handshake_limit`.
    pub fn handshake_limit(&self) -> u32 {
        let workers = u32::try_from(self.gateway.workers()).unwrap_or(u32::MAX).max(1);
        self.live().settings.http.handshake_limit.div_ceil(workers)
    }

    pub fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    pub fn ping_frame(&self, wire: Wire) -> &Arc<Frame> {
        self.pings.get_or_make(wire, || wire.ping())
    }

    /// The room on this worker, joined at the gateway when nobody here is in it yet.
    pub fn enter(&self, channel: &str) -> Result<Rc<Room>, ErrorCode> {
        let namespace = self.live().namespace(channel)?.clone();
        if !self.gateway.bus_is_up() && !namespace.is_local_without_bus() {
            self.gateway.metrics.rooms.refused_at_once();
            return Err(ErrorCode::Internal);
        }
        if let Some(room) = self.rooms.borrow().get(channel) {
            return Ok(room.clone());
        }
        let channel = Channel::from(channel);
        let joined = self.gateway.join(&channel, &namespace, self.id);
        let room = match joined {
            Joined::Live(generation, position) => {
                Room::new(channel.clone(), namespace, generation, true, position)
            }
            Joined::Pending(generation) => Room::new(channel.clone(), namespace, generation, false, None),
        };
        self.rooms.borrow_mut().insert(channel, room.clone());
        Ok(room)
    }

    /// Leaves the room at the gateway when nobody on this worker is in it any more.
    pub fn leave_if_empty(&self, room: &Rc<Room>) {
        if room.is_empty() && self.rooms.borrow_mut().remove(&*room.channel).is_some() {
            self.abandon(room);
            self.gateway.rooms.leave(&room.channel, self.id);
        }
    }

    /// A connection was opened; it has not sent its connect command yet.
    pub fn opened(&self, session: &Rc<Session>) {
        session
            .key()
            .set(self.sessions.borrow_mut().all.insert(session.clone()));
        if let Some(key) = session.stream_key(self) {
            self.streams.borrow_mut().insert(key.secret, session.clone());
        }
        self.gateway.metrics.connections.opened();
        self.gateway.open_sockets.fetch_add(1, Ordering::Relaxed);
    }

    /// The connect command was accepted, unless its user has too many connections.
    pub fn connected(&self, session: &Rc<Session>) -> Result<(), TooMany> {
        let limit = self.live().settings.client.user_connection_limit;
        if let Some(user) = self.gateway.clients.add(session.user(), limit)? {
            self.sessions
                .borrow_mut()
                .by_user
                .entry(user)
                .or_default()
                .push(session.clone());
        }
        Ok(())
    }

    /// The session takes no more part in anything; its socket may still have to close.
    pub fn disconnected(&self, session: &Rc<Session>, was_connected: bool) {
        if !was_connected {
            return;
        }
        self.gateway.clients.remove(session.user());
        let by_user = &mut self.sessions.borrow_mut().by_user;
        if let Some(of_user) = by_user.get_mut(session.user()) {
            of_user.retain(|other| !Rc::ptr_eq(other, session));
            if of_user.is_empty() {
                by_user.remove(session.user());
            }
        }
    }

    /// The session's task ends.
    pub fn forget(&self, session: &Rc<Session>) {
        self.sessions.borrow_mut().all.try_remove(session.key().get());
        if let Some(key) = session.stream_key(self) {
            self.streams.borrow_mut().remove(&key.secret);
        }
        self.gateway.open_sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// A publication reached so many members.
    pub fn owed(&self, outgoing: &Outgoing, members: u64) {
        self.counters.owed(&outgoing.mark().namespace, members);
    }

    /// A frame did not reach a socket; only publications are counted.
    pub fn dropped(&self, frame: &Frame, reason: &'static str) {
        for mark in frame.deliveries() {
            self.counters.dropped(&mark.namespace, reason);
            self.wake_flush();
        }
    }

    /// A frame was handed to the kernel for one socket.
    pub fn delivered(&self, frame: &Frame) {
        for mark in frame.deliveries() {
            self.counters.delivered(&mark.namespace, 1);
            if let Some(accepted_at) = mark.accepted_at {
                self.counters.timed(&mark.namespace, accepted_at, unix_nanos());
            }
        }
    }
}

#[cfg(test)]
mod tests;

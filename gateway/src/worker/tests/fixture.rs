//! A worker with real sockets, turn by turn, and the clients at their other ends.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use natter_websocket::{
    Opcode,
    client::{encode_masked, frames},
};
use tokio::{
    net::TcpListener,
    task::{LocalSet, spawn_local, yield_now},
};

use crate::{
    bus::{BusEvents, Overloaded},
    config::{RoomOptions, Settings},
    gateway::Gateway,
    limits::{FileLimit, raise_file_limit},
    publication::Publication,
    room::Room,
    session::Session,
    socket::Socket,
    wire::Wire,
    worker::Worker,
};

pub(super) struct Fixture {
    pub(super) worker: Rc<Worker>,
    listener: TcpListener,
    address: SocketAddr,
    files: Arc<FileLimit>,
}

/// The other end of a session, which reads what is there and never waits.
pub(super) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Whether the session is to end.
    pub(super) may_end: bool,
}

impl Fixture {
    /// Runs `test` beside a worker whose rooms have this window.
    pub(super) async fn run(batch_window: Duration, test: impl AsyncFnOnce(Self)) {
        Self::run_with(|rooms| rooms.batch_window = batch_window, test).await;
    }

    /// The same with rooms of any other policy.
    pub(super) async fn run_with(change: impl FnOnce(&mut RoomOptions), test: impl AsyncFnOnce(Self)) {
        let run = async { test(Self::start(change).await).await };
        LocalSet::new().run_until(run).await;
    }

    async fn start(change: impl FnOnce(&mut RoomOptions)) -> Self {
        raise_file_limit().unwrap();
        let mut settings = Settings::default();
        change(settings.rooms.default.as_mut().unwrap());
        let worker = Worker::new(0, Gateway::embedded(settings));
        spawn_local(worker.clone().run_inbox());
        spawn_local(worker.clone().run_broadcasts());
        spawn_local(worker.clone().run_flush());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            worker,
            listener,
            files: FileLimit::new(u64::MAX),
        }
    }

    /// A client that says these commands as soon as its session runs, each in a frame.
    pub(super) async fn open(&self, commands: &[&str]) -> (Rc<Session>, Peer) {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (socket, _) = self.listener.accept().await.unwrap();
        // As the gateway's own: hardly any time passes here in which an acknowledgement could come.
        socket.set_nodelay(true).unwrap();
        let session = Session::new(
            Socket::plain(socket),
            None,
            Wire::default(),
            false,
            (self.files.admit().unwrap(), None),
        );
        let frames = commands.iter().map(|command| frame(command));
        let early = BytesMut::from(&*frames.collect::<Vec<_>>().concat());
        spawn_local(session.clone().run(self.worker.clone(), early));
        let peer = Peer {
            stream,
            unread: Vec::new(),
            may_end: false,
        };
        (session, peer)
    }

    /// A client in a room.
    pub(super) async fn join(&self, room: &str) -> Peer {
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{room}"}}}}"#);
        let (_, mut peer) = self.open(&[r#"{"id":1,"connect":{}}"#, &subscribe]).await;
        let mut answers = 0;
        while answers < 2 {
            yield_now().await;
            answers += peer.texts().len();
        }
        peer
    }

    pub(super) async fn join_all(&self, room: &str, count: usize) -> Vec<Peer> {
        let mut peers = Vec::new();
        for _ in 0..count {
            peers.push(self.join(room).await);
        }
        peers
    }

    pub(super) fn room(&self, name: &str) -> Rc<Room> {
        self.worker.rooms.borrow()[name].clone()
    }

    /// As if it came from the bus.
    pub(super) fn publish(&self, room: &str, number: usize) -> Result<(), Overloaded> {
        let publication = Publication::new(number.to_string());
        self.worker.gateway.publication(room, publication)
    }

    /// The same in a durable room, the number being the offset.
    pub(super) fn publish_at(&self, room: &str, offset: u64) -> Result<(), Overloaded> {
        let mut publication = Publication::new(offset.to_string());
        publication.offset = offset;
        self.worker.gateway.publication(room, publication)
    }
}

fn frame(command: &str) -> Vec<u8> {
    encode_masked(Opcode::Text, command.as_bytes(), [0; 4])
}

impl Peer {
    /// Says commands, in one frame.
    pub(super) fn say(&mut self, commands: &str) {
        self.stream.write_all(&frame(commands)).unwrap();
    }

    /// Messages that are there now.
    pub(super) fn texts(&mut self) -> Vec<String> {
        let mut bytes = [0; 4 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) if self.may_end => break,
                Ok(0) => panic!("the session ended"),
                Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let mut rest = &self.unread[..];
        let mut texts = Vec::new();
        loop {
            match frames::next(&mut rest) {
                Ok(Some(frames::Frame::Message(text))) => {
                    texts.push(String::from_utf8(text.to_vec()).unwrap());
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) if self.may_end => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        self.unread = rest.to_vec();
        texts
    }

    /// Numbers that were published and are there now.
    pub(super) fn numbers(&mut self) -> Vec<usize> {
        let number = |text: &String| {
            let (_, data) = text.split_once(r#""data":"#)?;
            let (digits, _) = data.split_once(|next: char| !next.is_ascii_digit())?;
            Some(digits.parse().unwrap())
        };
        self.texts().iter().filter_map(number).collect()
    }
}

/// Lets everybody have so many turns.
pub(super) async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

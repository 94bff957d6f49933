//! A worker with real sockets, turn by turn.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
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
    time::advance,
};

use super::*;
use crate::{
    bus::{BusEvents, Overloaded},
    config::Settings,
    limits::{FileLimit, raise_file_limit},
    publication::Publication,
    socket::Socket,
};

/// Of a room that is given its publications in slices.
const LARGE: usize = 400;
const WINDOW: Duration = Duration::from_millis(5);

struct Fixture {
    worker: Rc<Worker>,
    listener: TcpListener,
    address: SocketAddr,
    files: Arc<FileLimit>,
}

/// The other end of a session, which reads what is there and never waits.
struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Fixture {
    async fn start(batch_window: Duration) -> Self {
        raise_file_limit().unwrap();
        let mut settings = Settings::default();
        settings.rooms.default.as_mut().unwrap().batch_window = batch_window;
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

    /// A client in a room.
    async fn join(&self, room: &str) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (socket, _) = self.listener.accept().await.unwrap();
        let session = Session::new(Socket::plain(socket), None, false, self.files.admit().unwrap());
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{room}"}}}}"#);
        let commands = [r#"{"id":1,"connect":{}}"#, &subscribe]
            .map(|command| encode_masked(Opcode::Text, command.as_bytes(), [0; 4]))
            .concat();
        spawn_local(session.run(self.worker.clone(), BytesMut::from(&*commands)));
        let mut peer = Peer {
            stream,
            unread: Vec::new(),
        };
        let mut answers = 0;
        while answers < 2 {
            yield_now().await;
            answers += peer.texts().len();
        }
        peer
    }

    async fn join_all(&self, room: &str, count: usize) -> Vec<Peer> {
        let mut peers = Vec::new();
        for _ in 0..count {
            peers.push(self.join(room).await);
        }
        peers
    }

    /// As if it came from the bus.
    fn publish(&self, room: &str, number: usize) -> Result<(), Overloaded> {
        let publication = Publication::new(number.to_string());
        self.worker.gateway.publication(room, publication)
    }
}

impl Peer {
    /// Messages that are there now.
    fn texts(&mut self) -> Vec<String> {
        let mut bytes = [0; 4 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the session ended"),
                Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let mut rest = &self.unread[..];
        let mut texts = Vec::new();
        while let Some(frame) = frames::next(&mut rest).unwrap() {
            if let frames::Frame::Message(text) = frame {
                texts.push(String::from_utf8(text.to_vec()).unwrap());
            }
        }
        self.unread = rest.to_vec();
        texts
    }

    /// Numbers that were published and are there now.
    fn numbers(&mut self) -> Vec<usize> {
        let number = |text: &String| {
            let (_, data) = text.split_once(r#""data":"#).unwrap();
            data.trim_end_matches('}').parse().unwrap()
        };
        self.texts().iter().map(number).collect()
    }
}

#[tokio::test]
async fn a_small_room_does_not_wait_for_a_large_one() {
    let count = 100;
    LocalSet::new()
        .run_until(async {
            let fixture = Fixture::start(Duration::ZERO).await;
            let mut large = fixture.join_all("large", LARGE).await;
            let mut small = fixture.join("small").await;
            for number in 0..count {
                fixture.publish("large", number).unwrap();
            }
            fixture.publish("small", 0).unwrap();
            let mut turns = 0;
            while small.numbers().is_empty() {
                yield_now().await;
                turns += 1;
            }
            assert!(turns <= 4, "the small room waited for {turns} turns");

            let mut received = vec![Vec::new(); LARGE];
            let received_all = |received: &[Vec<usize>]| received.iter().all(|one| one.len() >= count);
            let mut further = 0;
            while !received_all(&received) {
                yield_now().await;
                further += 1;
                for (one, peer) in received.iter_mut().zip(&mut large) {
                    one.extend(peer.numbers());
                }
            }
            assert!(further > 1, "the large room was no load");
            let expected: Vec<usize> = (0..count).collect();
            assert!(
                received.iter().all(|one| *one == expected),
                "not once and in order"
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_collects_for_a_window_and_no_longer() {
    const EVERY: Duration = Duration::from_millis(1);
    LocalSet::new()
        .run_until(async {
            let fixture = Fixture::start(WINDOW).await;
            let mut member = fixture.join("lobby").await;
            let (mut received, mut arrivals) = (Vec::new(), 0);
            for number in 0..100 {
                fixture.publish("lobby", number).unwrap();
                for _ in 0..4 {
                    yield_now().await;
                }
                let numbers = member.numbers();
                arrivals += usize::from(!numbers.is_empty());
                received.extend(numbers);
                assert!(
                    number + 1 - received.len() <= 6,
                    "{number} published, {received:?}"
                );
                advance(EVERY).await;
            }
            assert!(arrivals < 60, "100 publications came one by one");
            advance(Duration::from_millis(10)).await;
            for _ in 0..4 {
                yield_now().await;
            }
            received.extend(member.numbers());
            assert_eq!(received, (0..100).collect::<Vec<_>>());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_begun_goes_on_without_a_pause() {
    LocalSet::new()
        .run_until(async {
            let fixture = Fixture::start(WINDOW).await;
            let mut members = fixture.join_all("large", LARGE).await;
            for number in 0..30 {
                fixture.publish("large", number).unwrap();
            }
            // No time passes here, but what is done takes turns.
            for _ in 0..50 {
                yield_now().await;
            }
            let expected: Vec<usize> = (0..30).collect();
            assert!(members.iter_mut().all(|member| member.numbers() == expected));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_room_is_not_held_up() {
    LocalSet::new()
        .run_until(async {
            let fixture = Fixture::start(WINDOW).await;
            let mut member = fixture.join("lobby").await;
            for number in 0..50 {
                fixture.publish("lobby", number).unwrap();
                for _ in 0..4 {
                    yield_now().await;
                }
                assert_eq!(member.numbers(), [number]);
                advance(WINDOW + WINDOW / 5).await;
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_given_too_much_takes_no_more_for_a_while() {
    LocalSet::new()
        .run_until(async {
            let fixture = Fixture::start(WINDOW).await;
            let mut member = fixture.join("flooded").await;
            let mut other = fixture.join("other").await;
            let accepted = 5_000;
            for number in 0..accepted {
                fixture.publish("flooded", number).unwrap();
            }
            // The worker learns how much it is.
            yield_now().await;
            assert_eq!(fixture.publish("flooded", accepted), Err(Overloaded));
            fixture.publish("other", 7).unwrap();
            let mut received = Vec::new();
            while received.len() < accepted {
                advance(Duration::from_millis(1)).await;
                yield_now().await;
                received.extend(member.numbers());
            }
            assert_eq!(received, (0..accepted).collect::<Vec<_>>());
            assert_eq!(other.numbers(), [7]);
            fixture.publish("flooded", accepted).unwrap();
        })
        .await;
}

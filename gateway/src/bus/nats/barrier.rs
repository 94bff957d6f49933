//! When does a new subscription count? The join barrier.
//!
//! A SUB has an effect on the server it was sent to at once, but in a cluster the interest still has to travel to the
//! servers where others publish; a PING/PONG with the own server says nothing about that. Ephemeral rooms are
//! published by gateways only, so it is enough that every server *with a gateway on it* has heard of the interest.
//! The barrier therefore asks one gateway on each such server to echo a token: the question follows the interest on
//! the same route connection, so when its echo is back, that server knows. Gateways on one server form a queue group
//! named after it, so that one question reaches one of them on each server.
//!
//! A gateway has two connections, which may be on two servers. The question leaves through the link, behind the SUBs that
//! are there; it is echoed by the clients, which are where gateways publish. "On a server" means a gateway's client
//! here, never its link. The server of the own client is always among those that echo: that proves that the SUB was
//! processed at all, whichever server the link is on. Echoes come back over the link, behind what the server had to
//! say against the SUB.
//!
//! The cost does not grow with joins or gateways: joins that wait share the next barrier, one is under way at a time,
//! and each costs one question and one echo per NATS server.
//!
//! Which servers have to echo is learned from the headers of control messages and echoes; a server that does not
//! echo is left out until somebody there is heard again. A gateway that comes up in a cluster says hello, asks who is
//! there and gives the answers some time before it counts as connected ([`meet`]): it then knows the others, and they
//! know it, before it takes joins or publications.
//!
//! Not covered: superclusters and leaf nodes, a server that does not echo in time, and a gateway that comes up behind
//! a route slower than [`SETTLE`]. Ephemeral rooms promise at most once; durable rooms have the stream's own barrier.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tracing::debug;

use super::{
    Connection, Shared,
    link::{Delivery, Outgoing, Taker},
    message,
};
use crate::bus::BusError;

/// A server is forgotten when no gateway on it was heard for so long (they announce themselves every 3 s).
const PEER_LIFETIME: Duration = Duration::from_secs(10);
/// What a remote server's echo may take before the barrier goes on without it.
const REMOTE_TIMEOUT: Duration = Duration::from_millis(500);
/// What a gateway that comes up in a cluster gives the others to hear of it and to be heard.
const SETTLE: Duration = Duration::from_millis(100);
/// The same for one that knows nobody yet: the barrier after it has nobody to wait for.
const FIRST_SETTLE: Duration = REMOTE_TIMEOUT;
/// Number of a question that no barrier waits for: its echoes only tell who is there.
const ROLL_CALL: u64 = 0;
/// Joins that may wait for a barrier.
const WAITING: usize = 65_536;
/// Echoes that may wait to be counted; more than servers times barriers under way.
const ECHOES: usize = 1_024;

type Waiter = oneshot::Sender<Result<(), BusError>>;

/// One returned token: which barrier, which server.
pub(super) struct Echo {
    number: u64,
    server: String,
}

/// Handle to the task that runs barriers one after another.
#[derive(Clone)]
pub(super) struct Barrier {
    waiters: mpsc::Sender<Waiter>,
}

/// NATS servers with gateways on them, by server id.
#[derive(Default)]
pub(super) struct Peers {
    heard: HashMap<String, Instant>,
}

impl Peers {
    pub(super) fn hear(&mut self, server: &str) {
        let now = Instant::now();
        match self.heard.get_mut(server) {
            Some(heard) => *heard = now,
            None => {
                self.heard.insert(server.to_owned(), now);
            }
        }
    }

    pub(super) fn forget(&mut self, server: &str) {
        self.heard.remove(server);
    }

    /// The servers that a barrier has to reach besides `own`.
    fn remote(&mut self, own: &str) -> HashSet<String> {
        self.heard.retain(|_, heard| heard.elapsed() < PEER_LIFETIME);
        self.heard
            .keys()
            .filter(|server| *server != own)
            .cloned()
            .collect()
    }
}

impl Barrier {
    /// Starts the task; the sender takes the echoes that come back, `events` turns when the connection changes.
    pub(super) fn start(shared: Arc<Shared>, events: watch::Receiver<u64>) -> (Self, mpsc::Sender<Echo>) {
        let (waiters, waiting) = mpsc::channel(WAITING);
        let (echoes, returned) = mpsc::channel(ECHOES);
        let task = Task {
            shared,
            events,
            echoes: returned,
        };
        tokio::spawn(task.run(waiting));
        (Self { waiters }, echoes)
    }

    /// Resolves when every subscription made before the call is known wherever gateways publish.
    pub(super) async fn pass(&self) -> Result<(), BusError> {
        let (done, result) = oneshot::channel();
        self.waiters.try_send(done).map_err(|_| BusError::Overloaded)?;
        result.await.unwrap_or(Err(BusError::Disconnected))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// Every server with a gateway on it echoed.
    Complete,
    /// The own server did, another one did not in time.
    Partial,
    Failed(BusError),
}

impl Outcome {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed(_) => "failed",
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    events: watch::Receiver<u64>,
    echoes: mpsc::Receiver<Echo>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiter>) {
        let mut number = ROLL_CALL;
        let mut waiters = Vec::new();
        while waiting.recv_many(&mut waiters, WAITING).await > 0 {
            number += 1;
            let began = Instant::now();
            let result = self.pass(number).await;
            self.shared.metrics.barrier(result.label(), began.elapsed());
            let answer = match result {
                Outcome::Complete | Outcome::Partial => Ok(()),
                Outcome::Failed(error) => Err(error),
            };
            for waiter in waiters.drain(..) {
                // A join that was given up does not wait any more.
                let _ = waiter.send(answer);
            }
        }
    }

    async fn pass(&mut self, number: u64) -> Outcome {
        let Some(connection) = self.shared.connection() else {
            return Outcome::Failed(BusError::Disconnected);
        };
        let mut round = Round {
            number,
            own_missing: true,
            remote_missing: self.shared.peers.lock().remote(&connection.server),
        };
        if let Err(error) = ask(&self.shared, number) {
            return Outcome::Failed(error);
        }
        let began = Instant::now();
        while !round.is_complete() {
            let deadline = if round.own_missing {
                began + self.shared.config.join_timeout
            } else {
                began + REMOTE_TIMEOUT
            };
            tokio::select! {
                echo = timeout_at(deadline, self.echoes.recv()) => match echo {
                    Ok(Some(echo)) => round.count(&echo, &connection.server),
                    Ok(None) => return Outcome::Failed(BusError::Disconnected),
                    Err(_) if round.own_missing => return Outcome::Failed(BusError::Timeout),
                    Err(_) => break,
                },
                changed = self.events.changed() => {
                    // The echo of a lost connection does not come back.
                    if changed.is_err() || self.shared.connection().as_ref() != Some(&connection) {
                        return Outcome::Failed(BusError::Disconnected);
                    }
                }
            }
        }
        self.conclude(&round, &connection)
    }

    /// What was proven on one connection says nothing about the next one.
    fn conclude(&self, round: &Round, connection: &Connection) -> Outcome {
        if self.shared.connection().as_ref() != Some(connection) {
            return Outcome::Failed(BusError::Disconnected);
        }
        if round.is_complete() {
            return Outcome::Complete;
        }
        let mut peers = self.shared.peers.lock();
        for server in &round.remote_missing {
            peers.forget(server);
        }
        Outcome::Partial
    }
}

/// The echoes that one barrier still waits for.
struct Round {
    number: u64,
    own_missing: bool,
    remote_missing: HashSet<String>,
}

impl Round {
    /// Echoes of earlier barriers come too late to prove anything.
    fn count(&mut self, echo: &Echo, own: &str) {
        if echo.number == self.number {
            self.own_missing &= echo.server != own;
            self.remote_missing.remove(&echo.server);
        }
    }

    fn is_complete(&self) -> bool {
        !self.own_missing && self.remote_missing.is_empty()
    }
}

/// Lets the gateways of a cluster hear of this one and be heard by it.
pub(super) async fn meet(shared: &Shared) -> Result<(), BusError> {
    let own = shared.client.server_info().server_id;
    let knows_somebody = !shared.peers.lock().remote(&own).is_empty();
    hello(shared)?;
    ask(shared, ROLL_CALL)?;
    sleep(if knows_somebody { SETTLE } else { FIRST_SETTLE }).await;
    Ok(())
}

/// A control message that says nothing but where its sender is.
fn hello(shared: &Shared) -> Result<(), BusError> {
    let headers = message::control_headers(&shared.client.server_info().server_id);
    shared.send_unchecked(shared.subjects.control_all(), headers, Bytes::new())
}

/// Asks one gateway on each server to echo `number` back to this gateway.
fn ask(shared: &Shared, number: u64) -> Result<(), BusError> {
    let question = format!("{number} {}", shared.subjects.echoed(shared.config.node));
    shared.link.publish(&Outgoing {
        subject: &shared.subjects.echo(),
        reply: None,
        headers: &message::control_headers(&shared.client.server_info().server_id),
        payload: question.as_bytes(),
    })
}

/// Answers another gateway's question on behalf of `server`, unless this gateway has left it: subscriptions move with
/// a connection, also the one for the group of the former server.
pub(super) fn answer(shared: &Shared, question: &[u8], server: &str) -> Result<(), BusError> {
    if shared.client.server_info().server_id != server {
        return Ok(());
    }
    let (number, subject) = std::str::from_utf8(question)
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(_, subject)| shared.subjects.is_echoed(subject))
        .ok_or(BusError::Refused)?;
    let headers = message::control_headers(server);
    shared.send_unchecked(
        subject.to_owned(),
        headers,
        Bytes::from(format!("{number} {server}")),
    )
}

/// Takes the echoes that come back.
pub(super) struct Echoes {
    pub(super) shared: Arc<Shared>,
    pub(super) returned: mpsc::Sender<Echo>,
}

impl Taker for Echoes {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        if let Some(server) = message::server(delivery) {
            self.shared.peers.lock().hear(server);
        }
        let Some(echo) = read(delivery.payload) else {
            return debug!("unreadable echo");
        };
        // A full queue means that nobody waits for these any more; the barrier times out by itself.
        let _ = self.returned.try_send(echo);
    }
}

/// Reads an answer.
fn read(answer: &[u8]) -> Option<Echo> {
    let (number, server) = std::str::from_utf8(answer).ok()?.split_once(' ')?;
    Some(Echo {
        number: number.parse().ok()?,
        server: server.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peers_are_forgotten_when_nobody_there_is_heard() {
        let mut peers = Peers::default();
        peers.hear("a");
        peers.hear("b");
        assert_eq!(peers.remote("a"), HashSet::from(["b".to_owned()]));
        tokio::time::advance(PEER_LIFETIME / 2).await;
        peers.hear("c");
        tokio::time::advance(PEER_LIFETIME / 2).await;
        assert_eq!(peers.remote("a"), HashSet::from(["c".to_owned()]));
        peers.forget("c");
        assert!(peers.remote("a").is_empty());
    }

    #[test]
    fn a_round_ends_with_the_last_echo_of_its_own_number() {
        let mut round = Round {
            number: 7,
            own_missing: true,
            remote_missing: HashSet::from(["b".to_owned()]),
        };
        let echo = |number, server: &str| Echo {
            number,
            server: server.to_owned(),
        };
        for (number, server) in [(6, "a"), (6, "b"), (7, "c"), (7, "b")] {
            round.count(&echo(number, server), "a");
            assert!(!round.is_complete());
        }
        round.count(&echo(7, "a"), "a");
        assert!(round.is_complete());
    }

    #[test]
    fn echoes_are_read_back() {
        let echo = read(b"17 NABC").unwrap();
        assert_eq!((echo.number, echo.server.as_str()), (17, "NABC"));
        assert!(read(b"x NABC").is_none() && read(b"17").is_none() && read(b"\xff").is_none());
    }
}

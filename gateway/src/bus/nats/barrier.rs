//! When does a new subscription count? The join barrier.
//!
//! A SUB has an effect on the server it was sent to at once, but in a cluster the interest still has to travel to the
//! servers where others publish; a PING/PONG with the own server says nothing about that. Ephemeral rooms are
//! published by gateways only, so it is enough that every server *with a gateway on it* has heard of the interest.
//! The barrier therefore asks, for each such server, one gateway connected to it to echo a token: the question
//! follows the interest on the same route connection, so when its echo is back, that server knows. The own server is
//! always among them: its echo proves that the SUB was processed at all.
//!
//! The cost does not grow with joins or gateways: joins that wait share the next barrier, one is under way at a time,
//! and each costs one message and one echo per NATS server. A server learns of gateways elsewhere from the header of
//! their control messages; a server that does not echo is left out until somebody there is heard again.
//!
//! Not covered: superclusters and leaf nodes, and a gateway that moved to another server less than a control message
//! ago. Ephemeral rooms promise at most once; durable rooms have the stream's own barrier.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{Shared, message};
use crate::bus::BusError;

/// A server is forgotten when no gateway on it was heard for so long (they announce themselves every 3 s).
const PEER_LIFETIME: Duration = Duration::from_secs(10);
/// What a remote server's echo may take before the barrier goes on without it.
const REMOTE_TIMEOUT: Duration = Duration::from_millis(500);
/// Joins that may wait for a barrier.
const WAITING: usize = 65_536;
/// Echoes that may wait to be counted; more than servers times barriers under way.
const ECHOES: usize = 1_024;

type Waiter = oneshot::Sender<Result<(), BusError>>;

/// One returned token: which barrier, which server.
pub(super) struct Echo {
    pub(super) number: u64,
    pub(super) server: String,
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

    fn forget(&mut self, server: &str) {
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
    /// Starts the task; the sender takes the echoes that come back.
    pub(super) fn start(shared: Arc<Shared>) -> (Self, mpsc::Sender<Echo>) {
        let (waiters, waiting) = mpsc::channel(WAITING);
        let (echoes, returned) = mpsc::channel(ECHOES);
        tokio::spawn(run(shared, waiting, returned));
        (Self { waiters }, echoes)
    }

    /// Resolves when every subscription made before the call is known wherever gateways publish.
    pub(super) async fn pass(&self) -> Result<(), BusError> {
        let (done, result) = oneshot::channel();
        self.waiters.try_send(done).map_err(|_| BusError::Overloaded)?;
        result.await.unwrap_or(Err(BusError::Disconnected))
    }
}

async fn run(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Waiter>, mut echoes: mpsc::Receiver<Echo>) {
    let mut number = 0;
    let mut waiters = Vec::new();
    while waiting.recv_many(&mut waiters, WAITING).await > 0 {
        number += 1;
        let began = Instant::now();
        let result = pass(&shared, number, &mut echoes).await;
        shared.metrics.barrier(result.label(), began.elapsed());
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

async fn pass(shared: &Shared, number: u64, echoes: &mut mpsc::Receiver<Echo>) -> Outcome {
    let own = shared.client.server_info().server_id;
    let mut missing = shared.peers.lock().remote(&own);
    for server in missing.iter().chain([&own]) {
        if let Err(error) = ask(shared, number, server) {
            return Outcome::Failed(error);
        }
    }
    let remote_deadline = Instant::now() + REMOTE_TIMEOUT;
    let own_deadline = Instant::now() + shared.config.join_timeout;
    let mut own_missing = true;
    while own_missing || !missing.is_empty() {
        let deadline = if own_missing {
            own_deadline
        } else {
            remote_deadline
        };
        match timeout_at(deadline, echoes.recv()).await {
            Ok(Some(echo)) if echo.number == number => {
                own_missing &= echo.server != own;
                missing.remove(&echo.server);
            }
            Ok(Some(_late)) => {}
            Ok(None) => return Outcome::Failed(BusError::Disconnected),
            Err(_) if own_missing => return Outcome::Failed(BusError::Timeout),
            Err(_) => {
                let mut peers = shared.peers.lock();
                for server in &missing {
                    peers.forget(server);
                }
                return Outcome::Partial;
            }
        }
    }
    Outcome::Complete
}

/// Asks one gateway on `server` to echo `number` back to this gateway.
pub(super) fn ask(shared: &Shared, number: u64, server: &str) -> Result<(), BusError> {
    let question = format!("{number} {}", shared.subjects.echoed(shared.config.node));
    let headers = message::control_headers(&shared.client.server_info().server_id);
    shared.send_unchecked(shared.subjects.echo(server), headers, Bytes::from(question))
}

/// Answers another gateway's question on behalf of `server`.
pub(super) fn answer(shared: &Shared, question: &[u8], server: &str) -> Result<(), BusError> {
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

/// Reads an answer.
pub(super) fn read(answer: &[u8]) -> Option<Echo> {
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
    fn echoes_are_read_back() {
        let echo = read(b"17 NABC").unwrap();
        assert_eq!((echo.number, echo.server.as_str()), (17, "NABC"));
        assert!(read(b"x NABC").is_none() && read(b"17").is_none() && read(b"\xff").is_none());
    }
}

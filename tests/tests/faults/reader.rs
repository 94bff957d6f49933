//! Readers: clients that keep what they get and their own position, and come back with it whatever ends them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use natter_tests::client::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{Ledger, ROOMS};
use crate::scene::{LIMIT, Scene};

/// Bound of the answer to a join: 3 s for the bus, 5 s for what was missed, and a slow machine.
const ANSWER: Duration = Duration::from_secs(12);
/// Between two tries of a connection or a join.
const BACKOFF: Duration = Duration::from_millis(100);
/// Bound of the silence on a connection: pings come every 25 s.
const SILENCE: Duration = Duration::from_mins(1);

/// What one reader has of one room.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// Offset and id, in order of arrival.
    pub(crate) messages: Vec<(u64, String)>,
    pub(crate) ids: HashSet<String>,
    position: Option<(String, u64)>,
}

pub(crate) struct Reader {
    number: usize,
    scene: Arc<Scene>,
    ledger: Arc<Ledger>,
    rooms: [Mutex<Held>; ROOMS.len()],
    drop: Notify,
    random: Mutex<Rng>,
}

impl Reader {
    pub(crate) fn new(number: usize, scene: &Arc<Scene>, ledger: &Arc<Ledger>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            scene: scene.clone(),
            ledger: ledger.clone(),
            rooms: Default::default(),
            drop: Notify::new(),
            random: Mutex::new(Rng::with_seed(seed)),
        })
    }

    /// The reader loses its connection without a word.
    pub(crate) fn drop_connection(&self) {
        self.drop.notify_one();
    }

    pub(crate) fn holds(&self, room: usize, id: &str) -> bool {
        self.rooms[room].lock().ids.contains(id)
    }

    pub(crate) fn held(&self, room: usize) -> Held {
        self.rooms[room].lock().clone()
    }

    /// Whether every room was joined once: what is published from then on is its due.
    pub(crate) fn is_in(&self) -> bool {
        self.rooms.iter().all(|room| room.lock().position.is_some())
    }

    pub(crate) async fn run(self: Arc<Self>) {
        let mut site = self.number % self.scene.sites.len();
        loop {
            let mut client = None;
            tokio::select! {
                read = self.read(site, &mut client) => {
                    if let Err(error) = read {
                        eprintln!("reader {} at {site}: {error:#}", self.number);
                    }
                }
                () = self.drop.notified() => {}
            }
            drop(client);
            site = self.random.lock().usize(..self.scene.sites.len());
            sleep(BACKOFF).await;
        }
    }

    /// Until the connection ends.
    async fn read(&self, site: usize, place: &mut Option<Client>) -> Result<()> {
        let url = self.scene.sites[site].gateway.ws_url();
        let client = place.insert(Client::connected(&url, json!({})).await?.0);
        client.set_limit(SILENCE);
        for room in 0..ROOMS.len() {
            self.join(client, room, site).await?;
        }
        loop {
            let push = client.push().await?;
            if let Some(room) = self.take(&push)? {
                self.ledger.lost_positions.fetch_add(1, Ordering::Relaxed);
                self.join(client, room, site).await?;
            }
        }
    }

    /// Tries until the join succeeds.
    async fn join(&self, client: &mut Client, room: usize, site: usize) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut request = json!({ "channel": ROOMS[room], "recoverable": true });
            let position = self.rooms[room].lock().position.clone();
            if let Some((epoch, offset)) = &position {
                request["recover"] = true.into();
                request["epoch"] = epoch.as_str().into();
                request["offset"] = (*offset).into();
            }
            let Ok(reply) = timeout(ANSWER, client.request(json!({ "subscribe": request }))).await else {
                let stuck = format!("reader {}: {site} did not answer {request}", self.number);
                self.ledger.problem(&stuck);
                bail!(stuck);
            };
            let reply = reply?;
            if reply.get("subscribe").is_some() {
                return self.joined(room, &reply["subscribe"], position.as_ref());
            }
            let code = reply["error"]["code"].as_u64();
            ensure!(
                matches!(code, Some(100 | 111)),
                "join of {} was answered by {reply}",
                ROOMS[room]
            );
            self.ledger.refused_joins.fetch_add(1, Ordering::Relaxed);
            if began.elapsed() > LIMIT {
                self.ledger
                    .problem(format!("reader {} cannot join at {site}: {reply}", self.number));
            }
            sleep(BACKOFF).await;
        }
    }

    fn joined(&self, room: usize, reply: &Value, former: Option<&(String, u64)>) -> Result<()> {
        let epoch = reply["epoch"].as_str().context("no epoch")?.to_owned();
        let offset = reply["offset"].as_u64().unwrap_or(0);
        let Some(former) = former else {
            self.rooms[room].lock().position = Some((epoch, offset));
            return Ok(());
        };
        self.ledger.recoveries.fetch_add(1, Ordering::Relaxed);
        if reply["recovered"] != true || epoch != former.0 {
            let what = format!(
                "reader {} was at {former:?} of {}, {reply}",
                self.number, ROOMS[room]
            );
            self.ledger.problem(format!("not recovered: {what}"));
            self.rooms[room].lock().position = Some((epoch, offset));
            return Ok(());
        }
        for publication in reply["publications"].as_array().into_iter().flatten() {
            self.ledger.recovered.fetch_add(1, Ordering::Relaxed);
            self.keep(room, publication)?;
        }
        Ok(())
    }

    /// The room that has to be joined again, if the push says so.
    fn take(&self, push: &Value) -> Result<Option<usize>> {
        let channel = push["channel"].as_str().unwrap_or_default();
        let room = ROOMS.iter().position(|room| *room == channel);
        if let (Some(publication), Some(room)) = (push.get("pub"), room) {
            self.keep(room, publication)?;
            return Ok(None);
        }
        if push.get("unsubscribe").is_some() {
            eprintln!("reader {}: {push}", self.number);
            return Ok(room);
        }
        bail!("unexpected push {push}")
    }

    fn keep(&self, room: usize, publication: &Value) -> Result<()> {
        let offset = publication["offset"].as_u64().context("no offset")?;
        let id = publication["data"]["id"].as_str().context("no id")?.to_owned();
        let mut held = self.rooms[room].lock();
        let Held {
            messages,
            ids,
            position,
        } = &mut *held;
        let at = position.as_mut().context("a publication before the join")?;
        if offset <= at.1 || !ids.insert(id.clone()) {
            self.ledger.problem(format!(
                "reader {}: {id} at {offset} came after {:?} in {}",
                self.number,
                messages.last(),
                ROOMS[room]
            ));
        }
        at.1 = offset;
        messages.push((offset, id));
        Ok(())
    }
}

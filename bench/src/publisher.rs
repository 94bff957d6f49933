//! Publications by a schedule that does not wait for the server.

pub mod http;

use std::{rc::Rc, time::Duration};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use tokio::{
    task::{spawn_local, yield_now},
    time::{sleep, sleep_until},
};

use crate::{
    client::Client,
    link::Sender,
    run::Run,
    stamp::Stamp,
    tally::{Quantiles, histogram},
};

/// Publications that may be late before the rest of the client gets its turn.
const BURST: u32 = 64;
/// The runtime's timers are no finer.
const TICK: Duration = Duration::from_millis(1);

/// How publications reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By the publish command of connections that are in no room
    Socket,
    /// By the server API, on connections that are kept open
    Http,
}

pub struct Publisher {
    run: Rc<Run>,
    by: By,
    size: usize,
    senders: Vec<Rc<Sender>>,
    rooms: Vec<String>,
    /// In each room.
    published: Vec<u32>,
    total: u64,
    /// From when a message was due until it was queued for the next write, in microseconds.
    delays: Histogram<u64>,
}

impl Publisher {
    /// Opens `connections`, numbered from `first` in the run. A room's messages all go by one of them, in order.
    pub async fn open(
        run: &Rc<Run>,
        by: By,
        first: usize,
        connections: usize,
        rooms: usize,
        size: usize,
    ) -> anyhow::Result<Self> {
        let mut senders = Vec::new();
        for number in first..first + connections {
            senders.push(match by {
                By::Socket => {
                    let client = Client::open(run, number, None).await?;
                    let sender = client.sender();
                    spawn_local(client.stay());
                    sender
                }
                By::Http => http::open(run, number).await?,
            });
        }
        Ok(Self {
            run: run.clone(),
            by,
            size,
            senders,
            rooms: (0..rooms).map(|room| run.room(room)).collect(),
            published: vec![0; rooms],
            total: 0,
            delays: histogram()?,
        })
    }

    /// Publishes `rate` messages a second, over all rooms in turn, from `start` on the run's clock. Returns when the last one was
    /// due.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of one run"
    )]
    pub async fn publish(&mut self, rate: f64, start: u64, duration: Duration) -> anyhow::Result<u64> {
        let count = (rate * duration.as_secs_f64()).round() as u32;
        self.publish_while(rate, start, |published| published < count)
            .await
    }

    /// The same for as long as `goes_on` says so, which is told before each message how many there were.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of minutes"
    )]
    pub async fn publish_while(
        &mut self,
        rate: f64,
        start: u64,
        mut goes_on: impl FnMut(u32) -> bool,
    ) -> anyhow::Result<u64> {
        self.delays.reset();
        let (mut burst, mut index, mut due) = (0, 0, start);
        while goes_on(index) {
            due = start + (f64::from(index) * 1e9 / rate) as u64;
            if due > self.run.tally.now() {
                self.flush()?;
                sleep_until(self.run.tally.instant(due)).await;
                burst = 0;
            }
            self.queue(due);
            (burst, index) = (burst + 1, index + 1);
            if burst == BURST {
                self.flush()?;
                yield_now().await;
                burst = 0;
            }
        }
        while !self.flush()? {
            sleep(TICK).await;
        }
        Ok(due)
    }

    /// Messages published in each room.
    pub fn published(&self) -> &[u32] {
        &self.published
    }

    /// Of the last time of publishing.
    pub fn delays(&self) -> Quantiles {
        Quantiles::of(&self.delays)
    }

    fn queue(&mut self, due: u64) {
        let room = usize::try_from(self.total).unwrap_or_default() % self.rooms.len();
        self.total += 1;
        let number = self.published[room];
        self.published[room] += 1;
        let data = Stamp { due, number }.message(self.size);
        let (name, sender) = (&self.rooms[room], &self.senders[room % self.senders.len()]);
        match self.by {
            By::Socket => sender.queue_text(&self.run.protocol.publish(self.total, name, &data)),
            By::Http => sender.queue(&http::request(&self.run, name, &data)),
        }
        let delay = self.run.tally.now().saturating_sub(due);
        self.delays.saturating_record(delay / 1_000);
    }

    /// Whether nothing is left to write.
    fn flush(&self) -> anyhow::Result<bool> {
        for sender in &self.senders {
            sender.flush()?;
        }
        Ok(self.senders.iter().all(|sender| sender.is_flushed()))
    }
}

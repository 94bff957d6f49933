//! Every block against real servers.

mod cluster;
mod gone;
mod reads;
mod server;
mod store;
mod streams;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::server::NatsServer;
use super::*;
use crate::{
    config::{HistoryOptions, StreamOptions},
    history::{HistoryPolicy, Page, Query},
    publication::Publication,
};

const LIMITS: Limits = Limits {
    request: Duration::from_secs(5),
    store: Duration::from_secs(5),
    history: Duration::from_secs(5),
};

const WHOLE: Query = Query {
    since: None,
    limit: 1_000,
    reverse: false,
};

fn policy(change: impl FnOnce(&mut HistoryOptions)) -> HistoryPolicy {
    let mut options = HistoryOptions::default();
    change(&mut options);
    HistoryPolicy {
        namespace: "chat".into(),
        options,
    }
}

fn unmanaged() -> StreamOptions {
    StreamOptions {
        managed: false,
        ..StreamOptions::default()
    }
}

/// A server with one namespace on it.
struct Setup {
    jetstream: JetStream,
    streams: Arc<Streams>,
    server: NatsServer,
}

impl Setup {
    async fn new(change: impl FnOnce(&mut HistoryOptions)) -> Self {
        let server = NatsServer::start().await;
        let jetstream = connect(&server.url()).await;
        let streams = jetstream.ensure(&policy(change)).await.unwrap();
        Self {
            jetstream,
            streams,
            server,
        }
    }

    fn room(&self) -> StoredRoom {
        self.streams.room("chat:lobby")
    }

    /// Stores publications with the bodies 1 to `count`; returns their sequences.
    async fn fill(&self, room: &StoredRoom, count: usize) -> Vec<u64> {
        let numbers: Vec<_> = (1..=count).collect();
        let mut sequences = Vec::with_capacity(count);
        // Fewer than the client's queue holds.
        for some in numbers.chunks(1_000) {
            let stored: Vec<_> = some
                .iter()
                .map(|&number| self.jetstream.store(room, &publication(number), None))
                .collect();
            for receipt in stored {
                sequences.push(receipt.await.unwrap().position.offset);
            }
        }
        sequences
    }

    async fn page(&self, room: &StoredRoom, since: Option<u64>, limit: usize, reverse: bool) -> Page {
        let query = Query {
            since,
            limit,
            reverse,
        };
        self.jetstream.page(room, &query, 0).await.unwrap()
    }
}

fn offsets(page: &Page) -> Vec<u64> {
    page.publications
        .iter()
        .map(|publication| publication.offset)
        .collect()
}

fn publication(number: usize) -> Publication {
    Publication::new(number.to_string())
}

async fn connect(url: &str) -> JetStream {
    let client = async_nats::connect(url).await.unwrap();
    JetStream::start(client, Subjects::new("n"), LIMITS, &Refusals::default())
        .await
        .unwrap()
}

/// A question to the API as an administrator would ask it.
async fn admin(jetstream: &JetStream, verb: &str, stream: &str, body: Value) -> Value {
    let subject = format!("$JS.API.{verb}.{stream}");
    jetstream.call_at(subject, &body).await.unwrap()
}

/// Purges one room by hand.
async fn purge(jetstream: &JetStream, room: &StoredRoom) {
    let filter = json!({ "filter": room.subject });
    admin(jetstream, "STREAM.PURGE", &room.partition.stream, filter).await;
}

//! A bus with somebody who writes down what it delivers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use natter_gateway::bus::{
    BusError, BusEvents, BusStatus, Embedded, Nats, NatsConfig, NatsFiles, Overloaded, Recipient, SharedBus,
};
use natter_gateway::channel::Channel;
use natter_gateway::history::Position;
use natter_gateway::metrics::Metrics;
use natter_gateway::publication::Publication;
use natter_tests::gateway;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use uuid::Uuid;

/// Bound of every wait; much longer than anything takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// What a gateway would be to its bus.
pub(crate) struct Node {
    pub(crate) id: Uuid,
    pub(crate) bus: SharedBus,
    received: Received,
    metrics: Metrics,
}

struct Received {
    publications: Mutex<mpsc::UnboundedReceiver<(String, Publication)>>,
    controls: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    words: Mutex<mpsc::UnboundedReceiver<(String, Uuid, Bytes)>>,
}

struct Recorder {
    publications: mpsc::UnboundedSender<(String, Publication)>,
    controls: mpsc::UnboundedSender<Bytes>,
    words: mpsc::UnboundedSender<(String, Uuid, Bytes)>,
}

impl BusEvents for Recorder {
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded> {
        // A node that was dropped takes nothing any more.
        let _ = self.publications.send((channel.to_owned(), publication));
        Ok(())
    }

    fn control(&self, message: Bytes) {
        let _ = self.controls.send(message);
    }

    fn presence(&self, channel: &str, from: Uuid, message: &[u8]) {
        let word = (channel.to_owned(), from, Bytes::copy_from_slice(message));
        let _ = self.words.send(word);
    }

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {}
}

/// The connection to NATS as tests want it: short times.
pub(crate) fn config(url: &str, prefix: &str) -> Result<NatsConfig> {
    Ok(NatsConfig {
        servers: vec![url.parse().with_context(|| format!("{url} is no address"))?],
        files: NatsFiles::default(),
        name: "natter-tests".to_owned(),
        prefix: prefix.to_owned(),
        node: Uuid::new_v4(),
        ping_interval: Duration::from_secs(5),
        request_timeout: Duration::from_secs(2),
        join_timeout: Duration::from_secs(3),
        join_concurrency: 256,
        store_timeout: Duration::from_secs(5),
        subscription_capacity: 65_536,
        serves_api: false,
        manage_streams: true,
    })
}

impl Node {
    pub(crate) fn embedded() -> Result<Self> {
        let id = Uuid::new_v4();
        let (recorder, received) = recorder();
        Ok(Self {
            id,
            bus: Arc::new(Embedded::new(id, recorder)),
            received,
            metrics: Metrics::new()?,
        })
    }

    /// A node that is connected.
    pub(crate) async fn nats(config: NatsConfig) -> Result<Self> {
        let node = Self::connecting(config).await?;
        node.wait(BusStatus::Up).await?;
        Ok(node)
    }

    /// A node that has only begun to connect.
    pub(crate) async fn connecting(config: NatsConfig) -> Result<Self> {
        let (recorder, received) = recorder();
        let metrics = Metrics::new()?;
        let id = config.node;
        let bus = Nats::connect(config, recorder, metrics.bus.clone()).await?;
        Ok(Self {
            id,
            bus: Arc::new(bus),
            received,
            metrics,
        })
    }

    pub(crate) async fn subscribe(&self, room: &str) -> Result<(), BusError> {
        self.bus.subscribe(Channel::from(room), None).await.map(drop)
    }

    pub(crate) fn unsubscribe(&self, room: &str) {
        self.bus.unsubscribe(&Channel::from(room));
    }

    pub(crate) fn publish(&self, room: &str, text: &str) -> Result<(), BusError> {
        self.bus
            .publish(room, &Publication::new(text.as_bytes().to_vec()))
    }

    pub(crate) async fn next(&self) -> Result<(String, Publication)> {
        let mut publications = self.received.publications.lock().await;
        let next = timeout(LIMIT, publications.recv()).await;
        next.context("no publication came")?.context("the bus is gone")
    }

    /// The room and text of the next publication.
    pub(crate) async fn next_text(&self) -> Result<(String, String)> {
        let (room, publication) = self.next().await?;
        Ok((room, String::from_utf8(publication.data.to_vec())?))
    }

    pub(crate) async fn expect(&self, room: &str, text: &str) -> Result<()> {
        let next = self.next_text().await?;
        ensure!(
            next == (room.to_owned(), text.to_owned()),
            "{text:?} in {room:?} was due, {next:?} came"
        );
        Ok(())
    }

    pub(crate) fn send(&self, to: Recipient, text: &str) -> Result<(), BusError> {
        self.bus.send(to, Bytes::copy_from_slice(text.as_bytes()))
    }

    pub(crate) async fn expect_control(&self, text: &str) -> Result<()> {
        let mut controls = self.received.controls.lock().await;
        let next = timeout(LIMIT, controls.recv()).await;
        let next = next
            .context("no control message came")?
            .context("the bus is gone")?;
        ensure!(next == text, "{text:?} was due, {next:?} came");
        Ok(())
    }

    /// The next word about the members of a room, and who said it.
    pub(crate) async fn next_word(&self) -> Result<(String, Uuid, Bytes)> {
        let mut words = self.received.words.lock().await;
        let next = timeout(LIMIT, words.recv()).await;
        next.context("no word came")?.context("the bus is gone")
    }

    /// Words that nobody has taken.
    pub(crate) async fn waiting_words(&self) -> usize {
        self.received.words.lock().await.len()
    }

    pub(crate) async fn wait(&self, status: BusStatus) -> Result<()> {
        let mut changes = self.bus.status();
        let waited = timeout(LIMIT, changes.wait_for(|now| *now == status)).await;
        waited.with_context(|| format!("the bus did not become {status:?}"))??;
        Ok(())
    }

    /// The sum of a counter's samples with these labels; 0 when there is none.
    pub(crate) fn counted(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64> {
        let metrics = gateway::Metrics::parse(&self.metrics.encode()?)?;
        let value = metrics.value(name, labels).unwrap_or(0.0);
        format!("{value:.0}").parse().context("no count")
    }
}

/// The two ends of what a bus delivers.
fn recorder() -> (Arc<Recorder>, Received) {
    let (publications, received) = mpsc::unbounded_channel();
    let (controls, controlled) = mpsc::unbounded_channel();
    let (words, said) = mpsc::unbounded_channel();
    let recorder = Recorder {
        publications,
        controls,
        words,
    };
    let received = Received {
        publications: Mutex::new(received),
        controls: Mutex::new(controlled),
        words: Mutex::new(said),
    };
    (Arc::new(recorder), received)
}

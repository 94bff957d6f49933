//! One connection of a link, from the greeting to its end: what is read is handed on, what is said is written, and
//! neither waits for the other.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use async_nats::ServerInfo;
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf, split},
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tracing::{Level, info};

use super::{
    Inner,
    delivery::Delivery,
    dial::{self, Dialed, LinkError, Socket},
    interests::Sid,
    protocol::{self, Operation},
};
use crate::bus::nats::refusals::{REFUSAL_LINES, Refusal};

/// What is read at once, when the network has so much.
const READ: usize = 64 * 1024;
/// More than this at once, and others get their turn before it is looked at.
const MUCH: usize = READ / 4;
/// Buffers that a large message or many subscriptions made larger are given back.
const KEEP: usize = 4 * READ;
/// What it says when there are too many, without saying which it left out.
const TOO_MANY: &str = "maximum subscriptions exceeded";

/// Runs until the connection ends.
pub(super) async fn run(inner: &Arc<Inner>, dialed: Dialed) -> LinkError {
    let Dialed { socket, read, info } = dialed;
    inner.desk.lock().open(info.max_payload);
    let (reader, writer) = split(socket);
    let mut reading = Reading { inner, server: info };
    let ended = tokio::select! {
        ended = reading.run(reader, read) => ended,
        ended = write(inner, writer) => ended,
        ended = ping(inner) => ended,
    };
    let Err(error) = ended;
    inner.desk.lock().close();
    inner.changed();
    error
}

struct Reading<'a> {
    inner: &'a Arc<Inner>,
    server: ServerInfo,
}

impl Reading<'_> {
    async fn run(
        &mut self,
        mut socket: ReadHalf<Box<dyn Socket>>,
        mut buffer: BytesMut,
    ) -> Result<Infallible, LinkError> {
        loop {
            while let Some((operation, length)) = protocol::parse(&buffer)? {
                self.handle(&operation)?;
                buffer.advance(length);
            }
            if buffer.is_empty() && buffer.capacity() > KEEP {
                buffer = BytesMut::new();
            }
            buffer.reserve(READ);
            if dial::more(&mut socket, &mut buffer).await? >= MUCH {
                // A socket that is never empty would keep what is to be written waiting.
                yield_now().await;
            }
        }
    }

    fn handle(&mut self, operation: &Operation<'_>) -> Result<(), LinkError> {
        match operation {
            Operation::Message(delivery) => self.deliver(delivery),
            Operation::Ping => {
                self.inner.desk.lock().pong();
                self.inner.wake.notify_one();
            }
            Operation::Pong => {
                let is_ready = self.inner.desk.lock().ponged();
                if is_ready {
                    self.inner.changed();
                }
            }
            Operation::Info(json) => self.informed(dial::parse_info(json)?),
            Operation::Error(text) => self.refused(&super::text(text)),
            Operation::Ok => {}
        }
        Ok(())
    }

    /// Whoever takes it may ask for other locks: none is held here. A panic costs this message; it must not end the link
    /// of all other rooms. The locks in use are not poisoned by it.
    fn deliver(&self, delivery: &Delivery<'_>) {
        let taker = self
            .inner
            .desk
            .lock()
            .interests()
            .taker(Sid(delivery.sid))
            .cloned();
        let Some(taker) = taker else { return };
        if catch_unwind(AssertUnwindSafe(|| taker.take(delivery))).is_err() {
            self.inner.config.metrics.error("panic");
        }
    }

    fn informed(&mut self, server: ServerInfo) {
        if server.lame_duck_mode && !self.server.lame_duck_mode {
            info!(server = %server.server_name, "the NATS server is about to stop: it will end the connection of the rooms");
        }
        self.inner.servers.lock().discover(&server);
        self.server = server;
    }

    /// What concerns a subscription leaves the connection as it is; with anything else the server ends it.
    fn refused(&self, text: &str) {
        let inner = self.inner;
        let refusal = Refusal::read(text);
        match &refusal {
            Refusal::Subscribe(subject) => inner.desk.lock().refuse(subject.as_bytes()),
            Refusal::Publish(_) => inner.config.refusals.hear(&refusal),
            Refusal::Other if text.eq_ignore_ascii_case(TOO_MANY) => inner.too_many(),
            Refusal::Other => {}
        }
        let lines = inner.config.log_budget.cause(REFUSAL_LINES, Level::WARN);
        refusal.report(text, &inner.config.name, &inner.config.metrics, &lines);
    }
}

async fn write(inner: &Inner, mut socket: WriteHalf<Box<dyn Socket>>) -> Result<Infallible, LinkError> {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if buffer.capacity() > KEEP {
            buffer = Vec::new();
        }
        buffer = inner.desk.lock().take_outgoing(buffer);
        if buffer.is_empty() {
            inner.wake.notified().await;
        } else {
            socket.write_all(&buffer).await?;
            socket.flush().await?;
        }
    }
}

async fn ping(inner: &Inner) -> Result<Infallible, LinkError> {
    let period = inner.config.ping_interval;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !inner.desk.lock().ping() {
            return Err(LinkError::Silent);
        }
        inner.wake.notify_one();
    }
}

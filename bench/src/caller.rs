//! A connection on which the answer of every command is waited for. Answers come in the order of the commands, so a
//! queue of those who wait tells them apart. What is queued in one turn leaves with one write.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use natter_websocket::client::frames::{self, Frame};
use tokio::{
    sync::{Notify, oneshot},
    task::{AbortHandle, spawn_local, yield_now},
    time::{sleep, timeout},
};

use crate::{
    link::{self, Receiver, Sender},
    protocol::Event,
    publisher::http,
    run::Run,
};

/// A server that is slower than this at opening a connection has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a full socket is tried again.
const TICK: Duration = Duration::from_millis(1);

type Reply = Result<Box<[u8]>, String>;
type Waiting = Rc<RefCell<VecDeque<oneshot::Sender<Reply>>>>;

/// Dropping it ends the connection.
#[derive(Debug)]
pub struct Caller {
    sender: Rc<Sender>,
    waiting: Waiting,
    dirty: Rc<Notify>,
    last_id: Cell<u64>,
    tasks: [AbortHandle; 2],
}

/// Where a client was in a durable room.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub epoch: String,
    pub offset: u64,
}

impl Drop for Caller {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Caller {
    /// Opens a WebSocket and connects. `number` is that of the connection in the run. Answers and pushes go to `heard` in
    /// their order, answers also to who waits for them.
    pub async fn by_socket(
        run: &Rc<Run>,
        number: usize,
        heard: impl FnMut(&Event<'_>) + 'static,
    ) -> anyhow::Result<Self> {
        let (receiver, sender) = timeout(PATIENCE, link::open_websocket(run, number, false))
            .await
            .context("the upgrade took too long")??;
        let (sender, waiting) = (Rc::new(sender), Waiting::default());
        let reading = read_socket(run.clone(), receiver, sender.clone(), waiting.clone(), heard);
        let caller = Self::start(sender, waiting, reading);
        let connect = format!(r#"{{"id":{},"connect":{{"name":"bench"}}}}"#, caller.id());
        timeout(PATIENCE, caller.call(&connect))
            .await
            .context("connecting took too long")??;
        Ok(caller)
    }

    /// Opens a connection for requests to the server API.
    pub async fn by_http(run: &Rc<Run>, number: usize) -> anyhow::Result<Self> {
        let (receiver, sender) = link::open(run, number).await?;
        let waiting = Waiting::default();
        let reading = read_responses(run.clone(), receiver, waiting.clone());
        Ok(Self::start(Rc::new(sender), waiting, reading))
    }

    fn start(
        sender: Rc<Sender>,
        waiting: Waiting,
        reading: impl Future<Output = anyhow::Result<()>> + 'static,
    ) -> Self {
        let dirty = Rc::new(Notify::new());
        let left = waiting.clone();
        let reader = spawn_local(async move {
            if let Err(error) = reading.await {
                for waiter in left.borrow_mut().drain(..) {
                    // Nobody may wait any more.
                    let _ = waiter.send(Err(format!("{error:#}")));
                }
            }
        });
        let writer = spawn_local(write(sender.clone(), dirty.clone()));
        Self {
            sender,
            waiting,
            dirty,
            last_id: Cell::new(0),
            tasks: [reader.abort_handle(), writer.abort_handle()],
        }
    }

    fn id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    /// Publishes by the publish command.
    pub fn publish(
        &self,
        run: &Run,
        room: &str,
        data: &str,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let answer = self.call(&run.protocol.publish(self.id(), room, data));
        async move { answer.await.map(drop) }
    }

    /// Publishes by the server API.
    pub fn post(
        &self,
        run: &Run,
        room: &str,
        data: &str,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        self.sender.queue(&http::request(run, room, data));
        let answer = self.answer();
        async move { answer.await.map(drop) }
    }

    /// Joins a durable room; from where the client was, if it was there.
    pub fn join(
        &self,
        room: &str,
        from: Option<&Place>,
    ) -> impl Future<Output = anyhow::Result<Box<[u8]>>> + use<> {
        let id = self.id();
        let from = from.map_or_else(String::new, |Place { epoch, offset }| {
            format!(r#","recover":true,"epoch":"{epoch}","offset":{offset}"#)
        });
        self.call(&format!(
            r#"{{"id":{id},"subscribe":{{"channel":"{room}","recoverable":true{from}}}}}"#
        ))
    }

    pub fn leave(&self, room: &str) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let id = self.id();
        let answer = self.call(&format!(r#"{{"id":{id},"unsubscribe":{{"channel":"{room}"}}}}"#));
        async move { answer.await.map(drop) }
    }

    fn call(&self, command: &str) -> impl Future<Output = anyhow::Result<Box<[u8]>>> + use<> {
        self.sender.queue_text(command);
        self.answer()
    }

    fn answer(&self) -> impl Future<Output = anyhow::Result<Box<[u8]>>> + use<> {
        let (waiter, answer) = oneshot::channel();
        self.waiting.borrow_mut().push_back(waiter);
        self.dirty.notify_one();
        async move {
            match answer.await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(trouble)) => bail!("{trouble}"),
                Err(_) => bail!("the connection ended"),
            }
        }
    }
}

/// Sends what was queued, when everything else that is ready had its turn.
async fn write(sender: Rc<Sender>, dirty: Rc<Notify>) {
    loop {
        dirty.notified().await;
        yield_now().await;
        while !sender.is_flushed() {
            // The reader finds out why.
            if sender.flush().is_err() {
                return;
            }
            if !sender.is_flushed() {
                sleep(TICK).await;
            }
        }
    }
}

fn answered(waiting: &Waiting, reply: Reply) -> anyhow::Result<()> {
    let waiter = waiting.borrow_mut().pop_front();
    let waiter = waiter.ok_or_else(|| anyhow!("an answer to nothing: {reply:?}"))?;
    // The caller may have been dropped.
    let _ = waiter.send(reply);
    Ok(())
}

/// Reads until the connection ends, which is an error.
async fn read_socket(
    run: Rc<Run>,
    mut receiver: Receiver,
    sender: Rc<Sender>,
    waiting: Waiting,
    mut heard: impl FnMut(&Event<'_>),
) -> anyhow::Result<()> {
    loop {
        let mut outcome = Ok(());
        let take = |bytes: &[u8]| {
            let mut rest = bytes;
            while let Some(frame) = frames::next(&mut rest)? {
                let Frame::Message(message) = frame else { continue };
                run.protocol.read(message, &mut |event| {
                    heard(&event);
                    let reply = match event {
                        Event::Delivered(_) => return,
                        Event::Ping => return sender.queue_text(run.protocol.pong()),
                        Event::Answered(text) => Ok(text.into()),
                        Event::Refused(text) => Err(String::from_utf8_lossy(text).into_owned()),
                    };
                    if let Err(error) = answered(&waiting, reply) {
                        outcome = Err(error);
                    }
                });
            }
            Ok(bytes.len() - rest.len())
        };
        receiver.receive(&run.scratch, take).await?;
        outcome?;
        // A pong, or what the writer has queued anyway.
        if !sender.is_flushed() {
            sender.flush()?;
        }
    }
}

async fn read_responses(run: Rc<Run>, mut receiver: Receiver, waiting: Waiting) -> anyhow::Result<()> {
    loop {
        let take = |bytes: &[u8]| {
            let mut rest = bytes;
            while let Some((is_ok, body)) = http::response(&mut rest)? {
                let reply = if is_ok && run.protocol.is_published(body) {
                    Ok(body.into())
                } else {
                    Err(String::from_utf8_lossy(body).into_owned())
                };
                answered(&waiting, reply)?;
            }
            Ok(bytes.len() - rest.len())
        };
        receiver.receive(&run.scratch, take).await?;
    }
}

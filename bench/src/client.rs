//! One client of the server: a WebSocket on which the protocol is spoken.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use natter_websocket::{
    Opcode,
    client::{
        encode_masked,
        frames::{self, Frame},
    },
};
use tokio::time::timeout;

use crate::{
    link::{self, Receiver, Sender},
    protocol::Event,
    run::Run,
    tally::add,
};

/// A server that is slower than this at one step of joining has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any message of a run, in bytes.
const LARGEST: usize = 1 << 20;

pub struct Client {
    run: Rc<Run>,
    receiver: Receiver,
    sender: Rc<Sender>,
    answered: usize,
    refused: bool,
    /// The number of the next message in its room.
    next: u32,
}

impl Client {
    /// Connects, and joins the room, if any. `number` is that of the connection in the run.
    pub async fn open(run: &Rc<Run>, number: usize, room: Option<&str>) -> anyhow::Result<Self> {
        let opening = link::open_websocket(run, number, run.server.compression);
        let (receiver, sender) = timeout(PATIENCE, opening)
            .await
            .context("the upgrade took too long")??;
        let mut client = Self {
            run: run.clone(),
            receiver,
            sender: Rc::new(sender),
            answered: 0,
            refused: false,
            next: 0,
        };
        for (sent, command) in run.protocol.join(room).into_iter().enumerate() {
            client.sender.queue_text(&command);
            client.sender.flush()?;
            while client.answered <= sent {
                timeout(PATIENCE, client.receive())
                    .await
                    .context("joining took too long")??;
                ensure!(!client.refused, "joining was refused: {}", run.trouble());
            }
        }
        Ok(client)
    }

    pub fn sender(&self) -> Rc<Sender> {
        self.sender.clone()
    }

    /// Receives until the connection ends, which a run counts as a failure.
    pub async fn stay(mut self) {
        let error = loop {
            if let Err(error) = self.receive().await {
                break error;
            }
        };
        add(&self.run.tally.ended, 1);
        self.run.tally.note(|| format!("{error:#}"));
    }

    /// Waits for something to read, and handles what one read brings. May be dropped at any time.
    pub async fn receive(&mut self) -> anyhow::Result<()> {
        let Self { run, sender, .. } = self;
        let read = |bytes: &[u8]| {
            let now = run.tally.now();
            let mut hear = |message: &[u8]| {
                run.protocol.read(message, &mut |event| match event {
                    Event::Delivered(text) => run.tally.delivered(text, now, &mut self.next),
                    Event::Ping => sender.queue_text(run.protocol.pong()),
                    Event::Answered(_) => self.answered += 1,
                    Event::Refused(text) => {
                        self.refused = true;
                        run.tally.refused(text);
                    }
                });
            };
            let mut rest = bytes;
            while let Some(frame) = frames::next(&mut rest)? {
                match frame {
                    Frame::Message(message) => hear(message),
                    Frame::Compressed(payload) => hear(&run.inflater.borrow_mut().inflate(payload, LARGEST)?),
                    Frame::Ping(payload) => sender.queue(&encode_masked(Opcode::Pong, payload, [0; 4])),
                    Frame::Pong => {}
                }
            }
            let taken = bytes.len() - rest.len();
            add(&run.tally.bytes, taken as u64);
            Ok(taken)
        };
        self.receiver.receive(&run.scratch, read).await?;
        if !sender.is_flushed() {
            sender.flush()?;
        }
        Ok(())
    }
}

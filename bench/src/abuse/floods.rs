//! The floods, each a task or many on the thread of this process.

use std::{cell::Cell, rc::Rc, time::Duration};

use anyhow::Context;
use natter_websocket::{Opcode, client::encode_masked};
use serde::Serialize;
use tokio::{
    select,
    task::{JoinHandle, spawn_local},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::Args;
use crate::{
    client::Client,
    link::{self, Receiver, Sender},
    run::Run,
};

/// Between two writes of a flood.
const TICK: Duration = Duration::from_millis(10);
const TICKS: u32 = 100;
/// Between two bytes of a head that trickles in.
const TRICKLE: Duration = Duration::from_millis(200);
/// Until whoever was cut comes back.
const AGAIN: Duration = Duration::from_secs(1);
/// For the members that never read to join.
const PATIENCE: Duration = Duration::from_mins(1);
/// Receive buffer of members that never read, in the kernel: otherwise it would hold what the server should.
const DEAF_BUFFER: u32 = 4_096;
const HALF: &[u8] = b"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nX-Slow: ";
/// As much as it takes to have the server wait for a body of any length.
const BODY: &[u8] = b"POST /emulation HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";

/// How much of each.
pub(super) struct Size {
    commands: u32,
    half_open: usize,
    trickling: usize,
    bodies: usize,
    deaf: usize,
    publications: u32,
    bytes: usize,
}

impl Size {
    pub(super) fn of(args: &Args) -> Self {
        Self {
            commands: args.commands,
            half_open: args.half_open,
            trickling: args.trickling,
            bodies: args.bodies,
            deaf: args.deaf,
            publications: args.publications,
            bytes: args.size,
        }
    }
}

/// What the server took of them, and how many sockets came to it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Sent {
    pub(super) commands: u64,
    pub(super) half_open: u64,
    pub(super) trickling: u64,
    pub(super) bodies: u64,
    pub(super) deaf: u64,
    pub(super) publications: u64,
}

#[derive(Default)]
struct Counts {
    commands: Cell<u64>,
    half_open: Cell<u64>,
    trickling: Cell<u64>,
    bodies: Cell<u64>,
    deaf: Cell<u64>,
    publications: Cell<u64>,
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// All floods that run. Dropping it ends them.
pub(super) struct Floods {
    counts: Rc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

impl Floods {
    /// Returns when the members that never read are in their room; all else begins then.
    pub(super) async fn start(run: &Rc<Run>, size: &Size) -> anyhow::Result<Self> {
        let counts = Rc::<Counts>::default();
        let mut floods = Self {
            counts: counts.clone(),
            tasks: Vec::new(),
        };
        // Connections of this process; the bystanders number their own.
        let mut number = 0;
        let mut next = || {
            number += 1;
            number
        };
        let loud = run.room(usize::MAX);
        let small = run.beside(DEAF_BUFFER)?;
        for _ in 0..size.deaf {
            floods.spawn(deaf(small.clone(), next(), loud.clone(), counts.clone()));
        }
        let joined = async {
            while counts.deaf.get() < size.deaf as u64 {
                sleep(TICK).await;
            }
        };
        timeout(PATIENCE, joined)
            .await
            .with_context(|| format!("{} of {} members joined", counts.deaf.get(), size.deaf))?;
        let mut unfinished = |how_many: usize, begin, trickle, count: fn(&Counts) -> &Cell<u64>| {
            for _ in 0..how_many {
                let counts = counts.clone();
                let opened = move || add(count(&counts), 1);
                floods.spawn(unfinished(run.clone(), next(), (begin, trickle), opened));
            }
        };
        unfinished(size.half_open, HALF, None, |counts| &counts.half_open);
        unfinished(size.trickling, HALF, Some(TRICKLE), |counts| &counts.trickling);
        unfinished(size.bodies, BODY, None, |counts| &counts.bodies);
        let command = r#"{"id":7,"rpc":{"method":"flood"}}"#.to_owned();
        floods.spawn(flood(run.clone(), next(), (command, size.commands), {
            let counts = counts.clone();
            move |more| add(&counts.commands, more)
        }));
        let text = "x".repeat(size.bytes);
        let publish = format!(r#"{{"id":7,"publish":{{"channel":"{loud}","data":"{text}"}}}}"#);
        floods.spawn(flood(run.clone(), next(), (publish, size.publications), {
            let counts = counts.clone();
            move |more| add(&counts.publications, more)
        }));
        Ok(floods)
    }

    fn spawn(&mut self, flood: impl Future<Output = ()> + 'static) {
        self.tasks.push(spawn_local(flood));
    }

    pub(super) fn stop(self) -> Sent {
        let counts = &self.counts;
        Sent {
            commands: counts.commands.get(),
            half_open: counts.half_open.get(),
            trickling: counts.trickling.get(),
            bodies: counts.bodies.get(),
            deaf: counts.deaf.get(),
            publications: counts.publications.get(),
        }
    }
}

impl Drop for Floods {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Says the same so many times a second, as far as the server takes it, and reads what it is answered.
async fn flood(run: Rc<Run>, number: usize, (command, rate): (String, u32), taken: impl Fn(u64)) {
    let frame = encode_masked(Opcode::Text, command.as_bytes(), [1, 2, 3, 4]);
    let share = usize::try_from(rate.div_ceil(TICKS)).unwrap_or(1);
    let frames = frame.repeat(share);
    loop {
        let Ok(client) = Client::open(&run, number, None).await else {
            sleep(AGAIN).await;
            continue;
        };
        let sender = client.sender();
        let reading = spawn_local(client.stay());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !reading.is_finished() {
            ticks.tick().await;
            let written = if sender.is_flushed() {
                sender.send(&frames)
            } else {
                sender.flush()
            };
            if written.is_err() {
                break;
            }
            if sender.is_flushed() {
                taken(share as u64);
            }
        }
        reading.abort();
        sleep(AGAIN).await;
    }
}

/// A socket whose request never ends: what it begins with, and how long it waits before each further byte. Comes back whenever it
/// is cut.
async fn unfinished(
    run: Rc<Run>,
    number: usize,
    (begin, trickle): (&'static [u8], Option<Duration>),
    opened: impl Fn(),
) {
    loop {
        if let Ok((mut receiver, sender)) = link::open(&run, number).await {
            opened();
            if sender.send(begin).is_ok() {
                select! {
                    () = ended(&run, &mut receiver) => {}
                    () = bytes(&sender, trickle) => {}
                }
            }
        }
        sleep(AGAIN).await;
    }
}

async fn ended(run: &Rc<Run>, receiver: &mut Receiver) {
    while receiver
        .receive(&run.scratch, |bytes| Ok(bytes.len()))
        .await
        .is_ok()
    {}
}

async fn bytes(sender: &Sender, trickle: Option<Duration>) {
    let Some(trickle) = trickle else {
        return std::future::pending().await;
    };
    while sender.send(b"a").is_ok() {
        sleep(trickle).await;
    }
}

/// A member that reads nothing any more.
async fn deaf(run: Rc<Run>, number: usize, room: String, counts: Rc<Counts>) {
    if let Ok(client) = Client::open(&run, number, Some(&room)).await {
        add(&counts.deaf, 1);
        let _kept = client;
        std::future::pending::<()>().await;
    }
}

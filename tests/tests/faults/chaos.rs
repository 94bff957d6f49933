//! The faults, one after the other, and the proof after each that nothing is stuck.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use natter_tests::wait::eventually;
use tokio::time::Instant;

use crate::ledger::{Ledger, ROOMS};
use crate::reader::Reader;
use crate::scene::{LIMIT, Scene};
use crate::writer::WRITERS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server that leads a stream is killed and comes back.
    LeaderKilled,
    /// A gateway is killed and comes back.
    GatewayKilled,
    /// A gateway's connection to NATS ends, and each new one.
    BusCut,
    /// Nothing passes between a gateway and NATS, and comes late.
    BusPaused,
    /// Half of the readers lose their connections.
    ReadersDropped,
}

const FAULTS: [Fault; 5] = [
    Fault::LeaderKilled,
    Fault::GatewayKilled,
    Fault::BusCut,
    Fault::BusPaused,
    Fault::ReadersDropped,
];

pub(crate) struct Chaos {
    scene: Arc<Scene>,
    ledger: Arc<Ledger>,
    readers: Vec<Arc<Reader>>,
    random: Rng,
    pub(crate) faults: usize,
}

impl Chaos {
    pub(crate) fn new(scene: &Arc<Scene>, ledger: &Arc<Ledger>, readers: &[Arc<Reader>], seed: u64) -> Self {
        Self {
            scene: scene.clone(),
            ledger: ledger.clone(),
            readers: readers.to_vec(),
            random: Rng::with_seed(seed),
            faults: 0,
        }
    }

    /// Each fault once, in some order.
    pub(crate) async fn round(&mut self) -> Result<()> {
        let mut faults = FAULTS;
        self.random.shuffle(&mut faults);
        for fault in faults {
            let began = Instant::now();
            self.fault(fault)
                .await
                .with_context(|| format!("{fault:?}, fault {}", self.faults))?;
            self.faults += 1;
            let healed = Instant::now();
            self.everybody_goes_on()
                .await
                .with_context(|| format!("after {fault:?}, fault {}", self.faults))?;
            eprintln!(
                "fault {} {fault:?}: {:.1} s, all well {:.1} s later, {} messages",
                self.faults,
                (healed - began).as_secs_f32(),
                healed.elapsed().as_secs_f32(),
                self.ledger.count()
            );
        }
        Ok(())
    }

    async fn fault(&mut self, fault: Fault) -> Result<()> {
        let scene = self.scene.clone();
        let site = &scene.sites[self.random.usize(..scene.sites.len())];
        match fault {
            Fault::LeaderKilled => {
                let node = scene.leader(self.random.usize(..64)).await?;
                scene.nats.kill(node)?;
                self.drop_some(1);
                // The other two go on without it.
                self.everybody_goes_on().await?;
                scene.nats.restart(node).await?;
            }
            Fault::GatewayKilled => {
                site.gateway.kill()?;
                self.some_time().await?;
                site.gateway.restart_same_port().await?;
            }
            Fault::BusCut => {
                site.cut();
                self.readers_move().await?;
                site.resume();
            }
            Fault::BusPaused => {
                site.pause();
                self.readers_move().await?;
                site.resume();
            }
            Fault::ReadersDropped => {
                self.drop_some(self.readers.len() / 2);
                self.some_time().await?;
            }
        }
        Ok(())
    }

    /// Readers that are ahead of the gateway that hears nothing may come to it.
    async fn readers_move(&mut self) -> Result<()> {
        self.some_time().await?;
        self.drop_some(3);
        self.some_time().await
    }

    fn drop_some(&mut self, readers: usize) {
        let chosen = self.random.choose_multiple(self.readers.iter(), readers);
        for reader in chosen {
            reader.drop_connection();
        }
    }

    /// As long as some messages take.
    async fn some_time(&mut self) -> Result<()> {
        let goal = self.ledger.count() + self.random.usize(50..500);
        eventually("messages are acknowledged", LIMIT, async || {
            let count = self.ledger.count();
            ensure!(count >= goal, "{count} of {goal}");
            Ok(())
        })
        .await
    }

    /// In every room a message that was sent from now on is acknowledged, and every reader gets it.
    async fn everybody_goes_on(&self) -> Result<()> {
        let before = self.ledger.counts();
        eventually("every room goes on for everybody", LIMIT, async || {
            for room in 0..ROOMS.len() {
                // One for each writer may have been under way.
                let id = self.ledger.nth(room, before[room] + WRITERS.len());
                let id = id.with_context(|| format!("too few acknowledgements in {}", ROOMS[room]))?;
                for (number, reader) in self.readers.iter().enumerate() {
                    ensure!(
                        reader.holds(room, &id),
                        "reader {number} has no {id} of {}",
                        ROOMS[room]
                    );
                }
            }
            Ok(())
        })
        .await
    }
}

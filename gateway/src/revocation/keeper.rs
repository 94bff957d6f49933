//! The task that keeps a gateway's rules current.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{Level, debug, error, info, warn};
use uuid::Uuid;

use super::{Concerned, Heard, MAX_HEARD, Rule, order::END_KEPT, rule::Revocation};
use crate::{
    bus::{BusStatus, Changes, Keep, KeepError, Kept, Mark, SharedBus},
    clock::unix_now,
    cluster::Command,
    gateway::Gateway,
    inbox::Note,
};

/// Questions to the bus within a lease: a few may fail.
const LOOKS: u32 = 5;
/// Between two looks for rules that are over, which says nothing but takes memory.
const LOOKS_PER_SWEEP: u32 = 60;
/// Changes that are put in force together.
const BATCH: usize = 512;
/// What workers may take to look at those who are there, before others are told that they have.
const WORKERS: Duration = Duration::from_secs(3);
/// After which the end of a rule may be forgotten that this gateway was not told of.
const TOO_LONG: Duration = Duration::from_hours(12);
const _: () = assert!(TOO_LONG.as_secs() < END_KEPT.as_secs());

struct Keeper {
    gateway: Arc<Gateway>,
    bus: SharedBus,
    status: watch::Receiver<BusStatus>,
    mark: Option<Mark>,
    /// When it asked for what it knows.
    known_at: Instant,
    /// What other gateways want to know in force, by the change.
    open: Vec<(Mark, Uuid, Uuid)>,
    looks: u32,
    was_current: bool,
}

/// Keeps the rules current for as long as the gateway lives. A bus that answers at once, as the embedded one does, has been asked
/// when this returns.
pub fn start(gateway: Arc<Gateway>) {
    let Some(bus) = gateway.bus().cloned() else { return };
    let Some(unheard) = gateway.revocations.unheard.lock().take() else {
        return;
    };
    let runtime = gateway.runtime.clone();
    let mut keeper = Keeper {
        gateway,
        status: bus.status(),
        bus,
        mark: None,
        known_at: Instant::now(),
        open: Vec::new(),
        looks: 0,
        was_current: false,
    };
    if keeper.look().now_or_never().is_some() {
        keeper.tell_state();
    }
    runtime.spawn(keeper.run(unheard));
}

impl Keeper {
    async fn run(mut self, mut unheard: mpsc::Receiver<Heard>) {
        let mut tick = interval(self.gateway.live().settings.revocation.lease / LOOKS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                _ = tick.tick() => self.look().await,
                changed = self.status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look().await;
                }
                _ = unheard.recv_many(&mut heard, BATCH) => self.take(mem::take(&mut heard)).await,
            }
            self.confirm();
            self.tell_state();
        }
    }

    /// Asks the bus what has changed.
    async fn look(&mut self) {
        let since = self.mark.clone().filter(|_| self.known_at.elapsed() < TOO_LONG);
        let (asked, changes) = loop {
            let asked = Instant::now();
            tokio::select! {
                changes = self.bus.changes(since.clone()) => break (asked, changes),
                // What was asked over a connection that is gone has no answer.
                changed = self.status.changed() => if changed.is_err() {
                    return;
                }
            }
        };
        let revocations = &self.gateway.revocations;
        let is_missing = changes.as_ref().err() == Some(&KeepError::Missing);
        revocations.is_missing.store(is_missing, Ordering::Release);
        match changes {
            Ok(changes) => {
                if changes.whole {
                    self.begin(&changes);
                } else {
                    self.put_in_force(&changes.kept);
                }
                self.mark = Some(changes.mark);
                self.known_at = asked;
                let lease = self.gateway.live().settings.revocation.lease;
                revocations.renew(asked, lease);
                self.looks += 1;
                if self.looks.is_multiple_of(LOOKS_PER_SWEEP) {
                    revocations.sweep();
                }
            }
            // What was kept before is still to be heeded.
            Err(KeepError::Unavailable) if self.mark.is_none() => revocations.waive(),
            Err(error @ KeepError::Missing) => {
                let lines = &self.gateway.log_budget;
                if lines.cause("revocations_missing", Level::WARN).admit() {
                    warn!(%error, "cannot ask what is revoked: rooms with access rules wait");
                }
            }
            Err(error) => {
                debug!(%error, "cannot ask what is revoked");
            }
        }
    }

    /// Everything that is kept was read: for the first time, after long, or because the store is another one.
    fn begin(&self, changes: &Changes) {
        let revocations = &self.gateway.revocations;
        match &self.mark {
            None => {}
            Some(mark) if mark.epoch == changes.mark.epoch && mark.sequence <= changes.mark.sequence => {
                revocations.retain(&changes.kept);
            }
            Some(_) => self.refill(revocations.missing_in(&changes.kept)),
        }
        self.put_in_force(&changes.kept);
    }

    /// The store has lost what is known here.
    fn refill(&self, missing: Vec<(String, Revocation)>) {
        error!(
            lost = missing.len(),
            "the store of revocations was lost or has lost its end; what is known here is kept anew"
        );
        let (bus, now) = (self.bus.clone(), unix_now());
        self.gateway.runtime.spawn(async move {
            for (key, revocation) in missing {
                let keep = Keep {
                    key,
                    value: revocation.encode(),
                    ttl: revocation.life(now),
                    only_new: true,
                };
                if let Err(error) = bus.keep(keep).await {
                    return error!(%error, "revocations could not be kept anew");
                }
            }
        });
    }

    /// Takes what was told; what came before it is asked for.
    async fn take(&mut self, mut heard: Vec<Heard>) {
        heard.sort_by_key(|heard| heard.kept.sequence);
        let mut next = Vec::new();
        let mut is_behind = self.mark.is_none();
        for Heard {
            epoch,
            kept,
            from,
            question,
        } in heard
        {
            let change = Mark {
                epoch,
                sequence: kept.sequence,
            };
            self.open.push((change.clone(), from, question));
            let Some(mark) = &mut self.mark else { continue };
            if change.epoch != mark.epoch {
                // This gateway knows another store than the one that has counted it.
                is_behind = true;
            } else if kept.sequence == mark.sequence + 1 {
                mark.sequence = kept.sequence;
                next.push(kept);
            } else if kept.sequence > mark.sequence {
                is_behind = true;
            }
        }
        // Nobody waits any more for so many.
        self.open.drain(..self.open.len().saturating_sub(MAX_HEARD));
        self.put_in_force(&next);
        if is_behind {
            self.look().await;
        }
    }

    /// What is kept holds for those who come, and then for those who are there.
    fn put_in_force(&self, kept: &[Kept]) {
        if kept.is_empty() {
            return;
        }
        let mut unreadable = 0;
        let concerned = self.gateway.revocations.take(kept, &mut unreadable);
        if unreadable > 0 {
            self.gateway.metrics.bus.error("undecodable");
            warn!(unreadable, "revocations are kept that this version cannot read");
        }
        for kept in kept {
            self.log(kept);
        }
        drop(self.tell_workers(concerned));
    }

    fn log(&self, kept: &Kept) {
        let Ok(Revocation { rule, expire_at, .. }) = Revocation::decode(&kept.value) else {
            return;
        };
        if !self.gateway.log_budget.cause("revocation", Level::INFO).admit() {
            return;
        }
        let (kind, user) = (rule.kind().label(), rule.user());
        match &rule {
            Rule::Token { uid } => info!(kind, uid, expire_at, "revocation in force"),
            Rule::Ban { channel, .. } => info!(kind, user, channel, expire_at, "revocation in force"),
            _ => info!(kind, user, expire_at, "revocation in force"),
        }
    }

    /// Closed when all workers have looked.
    fn tell_workers(&self, concerned: Concerned) -> mpsc::UnboundedReceiver<()> {
        let (done, looked) = mpsc::unbounded_channel();
        let command = Command::Judge { concerned, done };
        self.gateway.tell_workers(&Note::Command(command.into()));
        looked
    }

    /// Tells those who asked what is in force now, once the workers have come to it.
    fn confirm(&mut self) {
        let Some(known) = &self.mark else { return };
        let is_known = |change: &Mark| change.epoch == known.epoch && change.sequence <= known.sequence;
        let in_force: Vec<_> = self
            .open
            .extract_if(.., |(change, ..)| is_known(change))
            .collect();
        if in_force.is_empty() {
            return;
        }
        let mut looked = self.tell_workers(Concerned::default());
        let gateway = self.gateway.clone();
        self.gateway.runtime.spawn(async move {
            if timeout(WORKERS, looked.recv()).await.is_err() {
                return warn!("a worker takes long to close what is revoked");
            }
            for (_, from, question) in in_force {
                gateway.cluster.in_force(&gateway, from, question);
            }
        });
    }

    /// Says when what is revoked is not known, and when it is again.
    fn tell_state(&mut self) {
        let is_current = self.gateway.revocations.is_current();
        self.gateway.metrics.revocations.current(is_current);
        match (mem::replace(&mut self.was_current, is_current), is_current) {
            (true, false) => warn!("what is revoked is not known any more: rooms with access rules wait"),
            (false, true) => info!(kept = self.mark.is_some(), "what is revoked is known"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! The task that keeps a gateway's rules current.

use std::{
    future::ready,
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{Level, debug, error, info, warn};

use super::{
    Concerned, Heard, MAX_HEARD, Rule,
    ledger::{Ledger, Lost},
    order::END_KEPT,
    rule::Revocation,
};
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
/// What was lost is kept anew by so many questions at a time.
const REFILLING: usize = 64;
/// What workers may take to look at those who are there, before others are told that they have.
const WORKERS: Duration = Duration::from_secs(3);
/// After which the end of a rule may be forgotten that this gateway was not told of.
const TOO_LONG: Duration = Duration::from_hours(12);
const _: () = assert!(TOO_LONG.as_secs() < END_KEPT.as_secs());

struct Keeper {
    gateway: Arc<Gateway>,
    bus: SharedBus,
    status: watch::Receiver<BusStatus>,
    ledger: Ledger,
    /// What the store was read up to.
    mark: Option<Mark>,
    /// Every change up to this number was read or told.
    told: u64,
    /// When it asked for what it knows.
    known_at: Instant,
    /// What other gateways want to know in force, with the looks there had been when it was heard.
    open: Vec<(u32, Heard)>,
    /// Looks that had an answer.
    looks: u32,
    /// How much the store is known to have lost.
    lost: usize,
    /// While that is kept anew.
    refill: Option<JoinHandle<Result<(), KeepError>>>,
    /// All of it was answered since the last look.
    is_refilled: bool,
    /// Something is still not there: everything is to be read.
    in_doubt: bool,
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
    let mut keeper = Keeper::new(gateway, bus);
    if keeper.look().now_or_never().is_some() {
        keeper.tell_state();
    }
    runtime.spawn(keeper.run(unheard));
}

/// A key that has changed meanwhile stays as it is.
async fn keep_anew(bus: SharedBus, keeps: Vec<Keep>) -> Result<(), KeepError> {
    let kept = stream::iter(keeps).map(|keep| bus.keep(keep));
    kept.buffer_unordered(REFILLING)
        .try_for_each(|_| ready(Ok(())))
        .await
}

impl Keeper {
    fn new(gateway: Arc<Gateway>, bus: SharedBus) -> Self {
        Self {
            gateway,
            status: bus.status(),
            bus,
            ledger: Ledger::default(),
            mark: None,
            told: 0,
            known_at: Instant::now(),
            open: Vec::new(),
            looks: 0,
            lost: 0,
            refill: None,
            is_refilled: false,
            in_doubt: false,
            was_current: false,
        }
    }

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
        self.settle();
        let since = if mem::take(&mut self.in_doubt) {
            None
        } else {
            self.since()
        };
        let Some((asked, changes)) = self.ask(since).await else {
            return;
        };
        let revocations = &self.gateway.revocations;
        let is_missing = changes.as_ref().err() == Some(&KeepError::Missing);
        revocations.is_missing.store(is_missing, Ordering::Release);
        match changes {
            Ok(changes) => {
                self.learn(asked, &changes);
                self.look_again(&changes).await;
                self.refill();
                self.looks += 1;
                if self.looks.is_multiple_of(LOOKS_PER_SWEEP) {
                    self.gateway.revocations.sweep();
                    self.ledger.sweep(unix_now());
                    // Whoever has asked for them does not wait any more.
                    let looks = self.looks;
                    self.open.retain(|(asked, _)| looks - asked < LOOKS_PER_SWEEP);
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

    /// Gives when it has asked, and the answer; `None` when the bus is gone for good.
    async fn ask(&mut self, since: Option<Mark>) -> Option<(Instant, Result<Changes, KeepError>)> {
        loop {
            let asked = Instant::now();
            tokio::select! {
                changes = self.bus.changes(since.clone()) => return Some((asked, changes)),
                // What was asked over a connection that is gone has no answer.
                changed = self.status.changed() => if changed.is_err() {
                    return None;
                }
            }
        }
    }

    /// What is known, and how the store can be told from one that has lost some of it.
    fn since(&self) -> Option<Mark> {
        let mut mark = self.mark.clone().filter(|_| !self.was_away())?;
        mark.proofs.extend(self.ledger.proofs(mark.sequence));
        mark.proofs.dedup();
        Some(mark)
    }

    /// Ends of rules may have been forgotten meanwhile.
    fn was_away(&self) -> bool {
        self.known_at.elapsed() >= TOO_LONG
    }

    /// Puts in force what was read.
    fn learn(&mut self, asked: Instant, changes: &Changes) {
        let known = self.mark.as_ref().filter(|mark| mark.epoch == changes.mark.epoch);
        let known = known.map(|mark| mark.sequence);
        let (was_away, ledger) = (self.was_away(), &mut self.ledger);
        if let Some(known) = known.filter(|_| was_away)
            && !ledger.is_contradicted(changes, known, unix_now())
        {
            let gone = ledger.retain(changes);
            self.gateway.revocations.forget(gone.iter().map(AsRef::as_ref));
        }
        let current = ledger.read(changes, known.is_some());
        self.put_in_force(&current);
        self.told = changes.mark.sequence;
        self.mark = Some(changes.mark.clone());
        self.known_at = asked;
        let lease = self.gateway.live().settings.revocation.lease;
        self.gateway.revocations.renew(asked, lease);
    }

    /// Something seems to be lost: what a key had may have been changed just while it was read, so it is read once more.
    async fn look_again(&mut self, changes: &Changes) {
        let lost = self.ledger.count_lost();
        if lost <= self.lost && !self.ledger.exceeds(changes, unix_now()) {
            self.lost = lost;
            return;
        }
        let since = if changes.since.is_some() {
            None
        } else {
            self.since()
        };
        if let Some((asked, Ok(changes))) = self.ask(since).await {
            self.learn(asked, &changes);
        }
        self.lost = self.ledger.count_lost();
    }

    /// Whether a refill has ended. If it was interrupted, the next one takes up what is not there then.
    fn settle(&mut self) {
        let refill = self.refill.take_if(|refill| refill.is_finished());
        let end = refill.and_then(FutureExt::now_or_never);
        self.is_refilled = matches!(end, Some(Ok(Ok(()))));
        if let Some(Ok(Err(error))) = end {
            let lines = self.gateway.log_budget.cause("revocations_refill", Level::WARN);
            if lines.admit() {
                warn!(%error, "lost revocations could not be kept anew so far");
            }
        }
    }

    /// Keeps anew what the store has lost and this gateway knows, until it has been read there.
    fn refill(&mut self) {
        if self.lost == 0 || self.refill.is_some() {
            return;
        }
        // Whatever was answered and is still not there was refused: its key has something else.
        self.in_doubt = self.is_refilled;
        let now = unix_now();
        let mut keeps = Vec::new();
        for Lost { key, is_end, instead } in self.ledger.lost() {
            let rule = self.gateway.revocations.rule(&key);
            let (value, ttl) = match &rule {
                Some(revocation) if !is_end && !revocation.is_over(now) => {
                    (revocation.encode(), revocation.life(now))
                }
                None if is_end => (Bytes::new(), END_KEPT),
                // It is over, or this version cannot read it.
                _ => {
                    self.ledger.forget(&key);
                    continue;
                }
            };
            keeps.push(Keep {
                key: key.as_ref().to_owned(),
                value,
                ttl,
                only_after: Some(instead),
            });
        }
        self.lost = keeps.len();
        if keeps.is_empty() {
            return;
        }
        if self
            .gateway
            .log_budget
            .cause("revocations_lost", Level::ERROR)
            .admit()
        {
            error!(
                lost = keeps.len(),
                "the store of revocations was lost or has lost some; what is known here is kept anew"
            );
        }
        self.refill = Some(self.gateway.runtime.spawn(keep_anew(self.bus.clone(), keeps)));
    }

    /// Takes what was told; what came before it is asked for.
    async fn take(&mut self, mut heard: Vec<Heard>) {
        heard.sort_by_key(|heard| heard.kept.sequence);
        let mut next = Vec::new();
        let mut is_behind = false;
        for heard in heard {
            is_behind |= self.hear(&heard, &mut next);
            self.open.push((self.looks, heard));
        }
        // Nobody waits any more for so many.
        self.open.drain(..self.open.len().saturating_sub(MAX_HEARD));
        self.put_in_force(&next);
        if is_behind {
            self.look().await;
        }
    }

    /// A change that is new is to be put in force. Whether the bus has to be asked for more, or what became of it.
    fn hear(&mut self, heard: &Heard, next: &mut Vec<Kept>) -> bool {
        let kept = &heard.kept;
        let Some(mark) = self.mark.as_ref().filter(|mark| mark.epoch == heard.epoch) else {
            // This gateway knows another store than the one that has counted it, or none.
            return true;
        };
        let known = self.ledger.sequence(&kept.key);
        if kept.sequence <= mark.sequence || known.is_some_and(|known| kept.sequence <= known) {
            return !(known == Some(kept.sequence) && self.gateway.revocations.holds(kept));
        }
        self.ledger.hear(kept);
        next.push(kept.clone());
        let follows = kept.sequence <= self.told + 1;
        if follows {
            self.told = self.told.max(kept.sequence);
        }
        !follows
    }

    /// What is kept holds for those who come, and then for those who are there.
    fn put_in_force(&self, kept: &[Kept]) {
        if kept.is_empty() {
            return;
        }
        let mut unreadable = 0;
        let rules = self.gateway.revocations.take(kept, &mut unreadable);
        if unreadable > 0 {
            self.gateway.metrics.bus.error("undecodable");
            warn!(unreadable, "revocations are kept that this version cannot read");
        }
        if rules.is_empty() {
            return;
        }
        for revocation in &rules {
            self.log(revocation);
        }
        let rules = rules.iter().map(|revocation| &revocation.rule);
        drop(self.tell_workers(Concerned::by(rules)));
    }

    fn log(&self, Revocation { rule, expire_at, .. }: &Revocation) {
        if !self.gateway.log_budget.cause("revocation", Level::INFO).admit() {
            return;
        }
        let (kind, user) = (rule.kind().label(), rule.user());
        match rule {
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
        let (ledger, revocations) = (&self.ledger, &self.gateway.revocations);
        let Some(mark) = &self.mark else { return };
        let is_in_force = |asked: u32, Heard { epoch, kept, .. }: &Heard| {
            let is_this = ledger.sequence(&kept.key) == Some(kept.sequence) && revocations.holds(kept);
            // By a number that was given to another change meanwhile nothing is later: the store is looked at first.
            let is_later = || self.looks > asked && ledger.has_later(kept);
            *epoch == mark.epoch && (is_this || is_later())
        };
        let in_force: Vec<_> = self
            .open
            .extract_if(.., |(looks, heard)| is_in_force(*looks, heard))
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
            for (_, Heard { from, question, .. }) in in_force {
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

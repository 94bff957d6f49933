//! How much a client may do in a time.
//!
//! Whoever says too much is not answered with errors, which would cost as much as what was asked: its socket is not read until
//! it may say more, and what it says waits in its own kernel. What is expensive beyond the command itself (publications,
//! reads of history and presence) is refused by name (111), for its client can then do something else. A client that goes on
//! saying too much until not even its pong comes through in time is closed with 3013.

use std::{pin::Pin, rc::Rc, task::Context, time::Duration};

use natter_protocol::{DisconnectCode, ErrorCode};
use tokio::time::{Sleep, sleep};

use super::Session;
use crate::{
    limits::{Limit, Meter},
    namespace::Namespace,
    worker::Worker,
};

/// What is left of what a connection may do.
#[derive(Clone, Copy, Default)]
pub(super) struct Meters {
    commands: Meter,
    publications: Meter,
    reads: Meter,
}

/// The time in which a socket is not read, while there is one; boxed, as few sessions have any.
pub(super) type Rest = Option<Pin<Box<Sleep>>>;

impl Session {
    /// The client said so much, which is done whatever it was; what comes next may have to wait.
    pub(super) fn spend(&self, worker: &Worker, count: usize) {
        let live = worker.live();
        let rates = &live.settings.client.rate_limit;
        if rates.commands == 0 && rates.user_commands == 0 {
            return;
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let limiter = &worker.gateway.limiter;
        let now = limiter.now();
        let mut meters = self.meters.get();
        let rested = meters.commands.debt(now).is_zero();
        let own = meters.commands.owe(now, rates.commands, count);
        let of_user = limiter.user_says(self.user(), rates, count);
        if !of_user.is_zero() {
            meters.commands.hold(now, of_user);
        }
        self.meters.set(meters);
        if rested && !(own.is_zero() && of_user.is_zero()) {
            let limit = if own.is_zero() {
                Limit::UserCommands
            } else {
                Limit::Commands
            };
            limiter.reached(limit, &self.id);
        }
    }

    /// For how long the client should say nothing.
    fn debt(&self, worker: &Worker) -> Duration {
        let meter = self.meters.get().commands;
        if meter == Meter::default() {
            return Duration::ZERO;
        }
        meter.debt(worker.gateway.limiter.now())
    }

    /// Whether the client has said more than it may.
    pub(super) fn has_said_too_much(&self, worker: &Worker) -> bool {
        !self.debt(worker).is_zero()
    }

    /// Whether nothing more is read for now; the session is polled again when that is over.
    pub(super) fn rests(&self, cx: &mut Context<'_>, worker: &Worker, rest: &mut Rest) -> bool {
        if self.is_over() {
            // Of what comes only the peer's close is of interest.
            *rest = None;
            return false;
        }
        loop {
            if let Some(sleep) = rest {
                if sleep.as_mut().poll(cx).is_pending() {
                    return true;
                }
                *rest = None;
            }
            let debt = self.debt(worker);
            if debt.is_zero() {
                return false;
            }
            *rest = Some(Box::pin(sleep(debt)));
        }
    }

    /// Whether the client may publish now, wherever it is.
    pub(super) fn may_publish_now(&self, worker: &Worker) -> Result<(), ErrorCode> {
        let live = worker.live();
        let rates = &live.settings.client.rate_limit;
        let limiter = &worker.gateway.limiter;
        let mut meters = self.meters.get();
        let own = rates.publications == 0 || meters.publications.take(limiter.now(), rates.publications);
        self.meters.set(meters);
        let reached = if !own {
            Limit::Publications
        } else if !limiter.user_publishes(self.user(), rates) {
            Limit::UserPublications
        } else {
            return Ok(());
        };
        limiter.reached(reached, &self.id);
        Err(ErrorCode::TooManyRequests)
    }

    /// Whether the room takes one more publication now. Asked behind all else: who may not publish takes nothing from those
    /// who may.
    pub(super) fn room_takes_one(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
    ) -> Result<(), ErrorCode> {
        let limiter = &worker.gateway.limiter;
        if limiter.room_takes(channel, namespace.options.publication_rate) {
            return Ok(());
        }
        limiter.reached(Limit::RoomPublications, &self.id);
        Err(ErrorCode::TooManyRequests)
    }

    /// Whether the client may ask for history or presence now.
    pub(super) fn may_read_now(&self, worker: &Worker) -> Result<(), ErrorCode> {
        let live = worker.live();
        let rates = &live.settings.client.rate_limit;
        let limiter = &worker.gateway.limiter;
        let mut meters = self.meters.get();
        let own = rates.reads == 0 || meters.reads.take(limiter.now(), rates.reads);
        self.meters.set(meters);
        let reached = if !own {
            Limit::Reads
        } else if !limiter.user_reads(self.user(), rates) {
            Limit::UserReads
        } else {
            return Ok(());
        };
        limiter.reached(reached, &self.id);
        Err(ErrorCode::TooManyRequests)
    }

    /// Why a client is closed whose pong did not come in time.
    pub(super) fn why_no_pong(self: &Rc<Self>, worker: &Worker) -> DisconnectCode {
        if self.has_said_too_much(worker) {
            DisconnectCode::TooManyRequests
        } else {
            DisconnectCode::NoPong
        }
    }
}

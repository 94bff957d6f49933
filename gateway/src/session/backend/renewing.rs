//! What expires and is renewed by a backend. Its client has no part in it: it is told of no end, and may not bring a token.
//!
//! A session has at most one question of each kind under way; its subscriptions are asked about one after another. A backend
//! that gives no verdict is asked again until the delay that `client` leaves to what expired is over.

use std::rc::Rc;

use natter_protocol::ErrorCode;
use tokio::time::Instant;

use super::CallFor;
use crate::{
    proxy::{Answered, Failure, ProxyKind, Question, Renewal, Renewed, Verdict},
    session::{
        Ending, Session,
        expiry::{Expiring, share},
    },
    worker::Worker,
};

impl Expiring {
    /// The backend that renews it; `None`: its client does.
    pub(in crate::session) fn proxy(&self, worker: &Worker) -> Option<String> {
        let live = worker.live();
        match self {
            Self::Connection => live.settings.client.refresh_proxy.clone(),
            Self::Room(channel) => (live.namespaces.of(channel))
                .and_then(|namespace| namespace.options.sub_refresh_proxy.clone()),
        }
    }

    fn kind(&self) -> ProxyKind {
        match self {
            Self::Connection => ProxyKind::Refresh,
            Self::Room(_) => ProxyKind::SubRefresh,
        }
    }
}

impl Session {
    /// Asks the backend about what has expired.
    pub(in crate::session) fn renew(self: &Rc<Self>, worker: &Rc<Worker>, what: Expiring) {
        if what == Expiring::Connection {
            return self.ask_to_renew(worker, what);
        }
        self.with_backend(|backend| backend.renewals.push_back(what));
        self.renew_next(worker);
    }

    fn renew_next(self: &Rc<Self>, worker: &Rc<Worker>) {
        while !self.is_over() {
            let next = self.with_backend(|backend| {
                let is_asking =
                    |(call, _): &(CallFor, _)| matches!(call, CallFor::Renewal(Expiring::Room(_)));
                if backend.calls.iter().any(is_asking) {
                    return None;
                }
                backend.renewals.pop_front()
            });
            let Some(what) = next else { return };
            self.ask_to_renew(worker, what);
        }
    }

    fn ask_to_renew(self: &Rc<Self>, worker: &Rc<Worker>, what: Expiring) {
        let question = Question {
            channel: match &what {
                Expiring::Connection => "",
                Expiring::Room(channel) => channel,
            },
            ..Question::default()
        };
        let asked = (what.proxy(worker).ok_or(ErrorCode::Internal))
            .and_then(|name| self.question(worker, what.kind(), &name, question, false));
        match asked {
            Err(_) => self.not_renewed(worker, &what),
            Ok(asked) => {
                let call = CallFor::Renewal(what.clone());
                self.ask(worker, call, asked, move |session, worker, answered| {
                    session.renewal_judged(worker, &what, answered);
                    session.renew_next(worker);
                });
            }
        }
    }

    fn renewal_judged(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        what: &Expiring,
        answered: Result<Answered<Renewal>, Failure>,
    ) {
        match answered.map(|answered| answered.verdict) {
            Ok(Verdict::Result(Renewal(Some(renewed)))) => self.renewed(worker, what, renewed),
            Ok(Verdict::Disconnect { code, reason }) => self.end(worker, &Ending::Chosen { code, reason }),
            Ok(Verdict::Error(error)) if error.temporary => self.not_renewed(worker, what),
            Ok(Verdict::Result(Renewal(None)) | Verdict::Error(_)) => self.end_expired(worker, what),
            Err(_) => self.not_renewed(worker, what),
        }
    }

    fn renewed(self: &Rc<Self>, worker: &Rc<Worker>, what: &Expiring, renewed: Renewed) {
        let set = match what {
            // As in Centrifugo, whoever wants a connection to go on says until when.
            Expiring::Connection if renewed.expire_at == 0 => Err(ErrorCode::Expired),
            Expiring::Connection => self.set_expiry(worker, renewed.expire_at),
            Expiring::Room(channel) => self.set_room_expiry(worker, channel, renewed.expire_at),
        };
        if set.is_err() {
            return self.end_expired(worker, what);
        }
        if let Some(info) = renewed.info {
            self.with_terms(|terms| terms.set_info(what, info));
            self.reappear_in(worker, what);
        }
        if *what == Expiring::Connection {
            self.note_meta(renewed.meta);
            if let Some(caps) = renewed.caps {
                self.set_caps(worker, caps);
                self.review_rooms(worker);
            }
        }
    }

    /// Others are told something else of it from now on, in one room or in all.
    fn reappear_in(&self, worker: &Worker, what: &Expiring) {
        let Expiring::Room(channel) = what else {
            return self.reappear(worker);
        };
        let present = self.subscriptions.borrow().present();
        if let Some(room) = present.iter().find(|room| room.channel == *channel) {
            self.appear(worker, room);
        }
    }

    /// There is no verdict: it is asked for again, or it is too late.
    fn not_renewed(self: &Rc<Self>, worker: &Rc<Worker>, what: &Expiring) {
        let pause = share(what.delay(worker)).mul_f64(0.5 + fastrand::f64());
        if self.look_again(what, |_| Instant::now() + pause) {
            self.wait_for_ends(worker);
        } else {
            self.end_expired(worker, what);
        }
    }

    /// Whatever a backend is asked about it is out of date.
    pub(in crate::session) fn stop_renewing(self: &Rc<Self>, worker: &Rc<Worker>, what: &Expiring) {
        self.with_backend(|backend| backend.renewals.retain(|waiting| waiting != what));
        self.give_up(&CallFor::Renewal(what.clone()));
        self.renew_next(worker);
    }
}

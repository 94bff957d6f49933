//! Whether the client may do what it asks for, as far as a room's name does not close it: the policy of the namespace permits
//! it, or the subscription's own capabilities do, or those of the connection, or an expression, in this order. Each only adds; where
//! the policy says `server` nothing does.

use std::rc::Rc;

use natter_protocol::{SubscribeRequest, UnsubscribeCode, channel};
use tracing::{Level, info};

use super::Session;
use crate::{
    channel::Channel,
    config::Who,
    metrics::Decision,
    namespace::{Asker, Namespace},
    permission::{Allow, Caps, Facts, Fault, Operation},
    token::WholeClaims,
    worker::Worker,
};

/// What a token or a backend says of a connection, for the decisions of all its life.
#[derive(Debug, Default)]
pub struct Rights {
    pub caps: Caps,
    pub claims: Option<WholeClaims>,
}

/// By what a client may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// The policy permits it to the group that the client is in.
    Policy,
    /// A token or an expression does, which may be another one tomorrow.
    Lent,
}

impl Rights {
    /// Whether it permits something, or is worth a line in the log.
    pub fn is_worth_keeping(&self) -> bool {
        !self.caps.is_empty() || self.caps.fault().is_some() || self.claims.is_some()
    }
}

impl Session {
    pub(super) fn may(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
        operation: Operation,
        is_member: bool,
    ) -> bool {
        self.permission(worker, namespace, channel, operation, is_member)
            .is_some()
    }

    /// By what the client may do it; `None`: it may not.
    pub(super) fn permission(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
        operation: Operation,
        is_member: bool,
    ) -> Option<Permission> {
        let asker = Asker {
            has_user: !self.user().is_empty(),
            is_member,
        };
        if namespace.permits(operation, asker) {
            return Some(Permission::Policy);
        }
        let decision = match namespace.who(operation) {
            None | Some(Who::Server) => Decision::Refused,
            Some(_) if self.is_capable(channel, operation) => Decision::Capability,
            Some(_) => self.evaluate(worker, namespace, channel, operation, is_member),
        };
        worker.gateway.metrics.permissions.decided(operation, decision);
        matches!(decision, Decision::Capability | Decision::Expression).then_some(Permission::Lent)
    }

    /// Whether the client may come into a room by itself, and by what.
    pub(super) fn may_join(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
    ) -> Option<Permission> {
        let is_judged = namespace.options.subscribe_proxy.is_some() || !channel::is_private(channel);
        if !is_judged || !channel::admits(channel, self.user()) {
            return None;
        }
        self.permission(worker, namespace, channel, Operation::Subscribe, false)
    }

    /// Whether a client that asks to be brought what it missed may read it, once it is in.
    pub(super) fn may_catch_up(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        request: &SubscribeRequest<'_>,
    ) -> bool {
        (request.recoverable || request.positioned)
            && self.may(worker, namespace, &request.channel, Operation::History, true)
    }

    /// Whether the client may have to do with the room, as far as its name says.
    pub(super) fn is_for(&self, channel: &str, is_member: bool) -> bool {
        channel::admits(channel, self.user()) && (is_member || !channel::is_private(channel))
    }

    /// Whether a capability of the subscription or of the connection opens it.
    fn is_capable(&self, channel: &str, operation: Operation) -> bool {
        let of_room = (self.subscriptions.borrow().find(channel))
            .is_some_and(|subscription| subscription.allow.includes(operation));
        let terms = self.terms.borrow();
        let rights = terms.as_ref().and_then(|terms| terms.rights.as_ref());
        of_room || rights.is_some_and(|rights| rights.caps.allow(operation, channel))
    }

    fn evaluate(
        &self,
        worker: &Worker,
        namespace: &Namespace,
        channel: &str,
        operation: Operation,
        subscribed: bool,
    ) -> Decision {
        let Some(expression) = namespace.expression(operation) else {
            return Decision::Refused;
        };
        let meta = expression.uses_meta().then(|| self.meta()).flatten();
        let terms = self.terms.borrow();
        let rights = terms.as_ref().and_then(|terms| terms.rights.as_ref());
        let facts = Facts {
            user: self.user(),
            channel,
            namespace: channel::namespace_of(channel).unwrap_or_default(),
            subscribed,
            meta: meta.as_deref(),
            claims: rights.and_then(|rights| rights.claims.as_ref().map(|claims| &*claims.0)),
        };
        match expression.permits(&facts) {
            Ok(true) => Decision::Expression,
            Ok(false) => Decision::Refused,
            Err(error) => {
                let cause = worker.gateway.log_budget.cause("expression", Level::INFO);
                if cause.admit() {
                    let (connection, operation) = (self.id, operation.label());
                    info!(%connection, channel, operation, %error, "refused by an expression that has no answer");
                }
                Decision::Error
            }
        }
    }

    /// From now on these hold, and no others.
    pub(super) fn set_rights(&self, worker: &Worker, rights: Option<Box<Rights>>) {
        if let Some(fault) = rights.as_ref().and_then(|rights| rights.caps.fault()) {
            self.tell_fault(worker, fault);
        }
        if rights.is_some() || self.has_terms() {
            self.with_terms(|terms| terms.rights = rights);
        }
    }

    /// The same of the capabilities alone.
    pub(super) fn set_caps(&self, worker: &Worker, caps: Caps) {
        let former = self.with_terms(|terms| terms.rights.take());
        let claims = former.and_then(|rights| rights.claims);
        let rights = Rights { caps, claims };
        self.set_rights(worker, rights.is_worth_keeping().then(|| rights.into()));
    }

    /// What the client may do in a room from now on beside what the namespace permits.
    pub(super) fn set_allow(&self, worker: &Worker, channel: &str, allow: Allow) {
        self.tell_unknown(worker, allow);
        self.subscriptions.borrow_mut().set_allow(channel, allow);
    }

    /// The rights have changed: the client leaves rooms that it was let into by others.
    pub(super) fn review_rooms(self: &Rc<Self>, worker: &Rc<Worker>) {
        let lent = self.subscriptions.borrow().lent();
        let lost = |channel: &Channel| {
            let live = worker.live();
            let namespace = live.namespace(channel);
            namespace.is_ok_and(|namespace| self.may_join(worker, namespace, channel).is_none())
        };
        for channel in lent.iter().filter(|channel| lost(channel)) {
            if self.is_over() {
                return;
            }
            self.unsubscribe_with(worker, channel, UnsubscribeCode::Server);
        }
    }

    /// Whoever issues the token is to know what of it means nothing here.
    pub(super) fn tell_unknown(&self, worker: &Worker, allow: Allow) {
        if allow.has_unknown() {
            self.tell_fault(worker, Fault::Allow);
        }
    }

    fn tell_fault(&self, worker: &Worker, fault: Fault) {
        if worker
            .gateway
            .log_budget
            .cause("capabilities", Level::INFO)
            .admit()
        {
            info!(connection = %self.id, user = self.user(), %fault, "some of a client's capabilities open nothing");
        }
    }
}

//! What a join asks for, as far as the namespace, the server and a backend grant it.

use std::{borrow::Cow, rc::Rc};

use natter_protocol::SubscribeRequest;

use super::{ReplySlot, rights::Permission};
use crate::{
    config::RecoveryMode,
    grant::Grant,
    namespace::Namespace,
    permission::Operation,
    publication::{Publication, Tags},
    room::Taste,
    wire::Wire,
};

/// What a join asks for.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Wish {
    /// Where a client's command is answered; without it the subscription was made by the server API and the client is
    /// told by a push.
    pub slot: Option<ReplySlot>,
    /// The subscription is told with the answer to connect.
    pub(super) at_connect: bool,
    pub(super) positioned: bool,
    pub(super) recoverable: bool,
    /// The client asked to recover, whether or not it may: it is told that it did not.
    pub(super) was_recovering: bool,
    /// The client is told who joins and leaves.
    pub(super) listens: bool,
    /// It is let in by what its token or an expression says, which may change.
    pub(super) lent: bool,
    /// Where the client was before, if it may recover.
    pub(super) recover: Option<Rc<Former>>,
    /// How it wants publications, if not as they are.
    taste: Option<Rc<Taste>>,
    /// What the server decided on, unless the client asked by itself.
    grant: Option<Rc<Grant>>,
}

#[derive(Debug)]
pub(super) struct Former {
    /// Empty when the client has none.
    pub(super) epoch: String,
    pub(super) offset: u64,
    pub(super) wants: Wants,
}

/// What a client that recovers wants to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// What it missed.
    All,
    /// The same, and to be refused rather than let in without it: it loads the state anew before it comes back.
    AllOrNothing,
    /// The newest publication (recovery mode `cache`).
    Newest,
}

impl Wish {
    /// What of a client's request its namespace grants. `may_read`: the client may read what the room keeps.
    pub(super) fn of(request: &SubscribeRequest<'_>, namespace: &Namespace, may_read: bool) -> Self {
        let Some(policy) = &namespace.history else {
            return Self {
                was_recovering: request.recover,
                listens: namespace.tells_joins(request.join_leave),
                ..Self::default()
            };
        };
        let options = &policy.options;
        // Who recovers reads history.
        let recoverable = options.force_recovery || (request.recoverable && may_read);
        let positioned = recoverable || options.force_positioning || (request.positioned && may_read);
        Self {
            positioned,
            recoverable,
            listens: namespace.tells_joins(request.join_leave),
            ..Self::default()
        }
        .recovering(request, namespace)
    }

    pub(super) fn with_permission(self, permission: Permission) -> Self {
        let lent = permission == Permission::Lent;
        Self { lent, ..self }
    }

    pub(super) fn with_taste(self, taste: Option<Rc<Taste>>) -> Self {
        Self { taste, ..self }
    }

    pub(super) fn taste(&self) -> Option<&Taste> {
        self.taste.as_deref()
    }

    pub(super) fn has_deltas(&self) -> bool {
        self.taste().is_some_and(|taste| taste.delta)
    }

    /// Whether a publication that was missed is wanted.
    pub(super) fn wants(&self, publication: &Publication) -> bool {
        let filter = self.taste().and_then(|taste| taste.filter.as_ref());
        filter.is_none_or(|filter| Tags::of(publication).fit(filter))
    }

    /// The data of a publication that was missed, which is brought whole.
    pub(super) fn form_data<'p>(&self, wire: Wire, publication: &'p Publication) -> Cow<'p, [u8]> {
        if self.has_deltas() {
            wire.encoding.undoable(&publication.data)
        } else {
            Cow::Borrowed(&publication.data)
        }
    }

    /// What the server decided on for a client, by its API or with the connection.
    pub fn granted(namespace: &Namespace, grant: &Rc<Grant>) -> Self {
        let options = namespace.history.as_ref().map(|policy| &policy.options);
        let recoverable =
            options.is_some_and(|options| grant.force_recovery.unwrap_or(options.force_recovery));
        let positioned = options.is_some_and(|options| {
            recoverable || grant.force_positioning.unwrap_or(options.force_positioning)
        });
        let wish = Self {
            positioned,
            recoverable,
            listens: namespace.tells_joins(false),
            grant: Some(grant.clone()),
            ..Self::default()
        };
        match &grant.recover_since {
            Some(since) => wish.recovering(&since.as_request(), namespace),
            None => wish,
        }
    }

    /// What a client asked for and a backend permitted, which can only add to it.
    pub(super) fn permitted(
        self,
        request: &SubscribeRequest<'_>,
        namespace: &Namespace,
        grant: &Rc<Grant>,
    ) -> Self {
        let granted = Self::granted(namespace, grant);
        let may_read = namespace.history.is_some() && grant.allow.includes(Operation::History);
        let recoverable = self.recoverable || granted.recoverable || (may_read && request.recoverable);
        let positioned = recoverable || (may_read && request.positioned);
        Self {
            positioned: self.positioned || granted.positioned || positioned,
            recoverable,
            listens: self.listens || granted.listens,
            taste: self.taste,
            lent: self.lent,
            ..granted
        }
        .recovering(request, namespace)
    }

    /// The same for a client that says where it was.
    pub(super) fn recovering(mut self, request: &SubscribeRequest<'_>, namespace: &Namespace) -> Self {
        self.was_recovering |= request.recover;
        if let Some(policy) = &namespace.history
            && request.recover
            && self.recoverable
        {
            let wants = match policy.options.recovery_mode {
                RecoveryMode::Cache => Wants::Newest,
                RecoveryMode::Stream if request.rejects_unrecovered() => Wants::AllOrNothing,
                RecoveryMode::Stream => Wants::All,
            };
            self.recover = Some(Rc::new(Former {
                epoch: request.epoch.to_string(),
                offset: request.offset,
                wants,
            }));
        }
        self
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.grant.as_deref()
    }

    /// What the client is told with the subscription.
    pub(super) fn data(&self) -> &[u8] {
        self.grant().map_or(&[], |grant| &grant.data)
    }

    pub(super) fn is_positioned(&self) -> bool {
        self.positioned
    }

    pub(super) fn former(&self) -> Option<&Former> {
        self.recover.as_deref()
    }
}

//! What the server API makes gateways do to connections.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Hearing, Said, base64};
use crate::{
    drain::{Pace, Shed},
    grant::Grant,
    revocation::Concerned,
    session::StreamKey,
};

/// Which connections are meant: those of a user, one client, one session, or those of them that are all it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub user: Option<String>,
    pub client: Option<Uuid>,
    /// What a client of a stream is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<StreamKey>,
}

impl Target {
    /// Whoever is all of this. Gateways of a version that knows no sessions look at user and client only, and nobody named
    /// means everybody to them: where a session is named and no client, the client is one that nobody is.
    pub fn new(user: Option<String>, client: Option<Uuid>, session: Option<StreamKey>) -> Self {
        Self {
            user,
            client: client.or_else(|| session.map(|_| Uuid::nil())),
            session,
        }
    }

    /// Whether a connection of the user is meant.
    pub fn is(&self, client: Uuid, session: Option<StreamKey>) -> bool {
        let stands_for_session = |named: Uuid| named.is_nil() && self.session.is_some();
        self.client
            .is_none_or(|named| named == client || stands_for_session(named))
            && self.session.is_none_or(|named| session == Some(named))
    }
}

/// Travels to every gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Disconnect {
        target: Target,
        whitelist: Vec<Uuid>,
        code: u16,
        reason: String,
    },
    Subscribe {
        target: Target,
        #[serde(flatten)]
        grant: Grant,
    },
    /// `expired`: they end now.
    Refresh {
        target: Target,
        expired: bool,
        /// When they expire, as a Unix time in seconds; 0: never.
        expire_at: u64,
        /// What others are told of them from now on, JSON text; empty: as before.
        #[serde(with = "base64")]
        info: Bytes,
    },
    /// Without a channel: from all of them.
    Unsubscribe { target: Target, channel: Option<String> },
}

/// What a worker is told.
pub enum Command {
    Order(Order),
    /// Send the rooms with members here, and how many.
    CountRooms {
        pattern: Option<String>,
        answer: mpsc::UnboundedSender<HashMap<String, u64>>,
    },
    /// Let a session hear what its client says.
    Emulate {
        said: Said,
        answer: mpsc::UnboundedSender<Hearing>,
    },
    /// Hold connections against what is revoked. Whoever waits for all workers waits until `done` is dropped.
    Judge {
        concerned: Concerned,
        done: mpsc::UnboundedSender<()>,
    },
    /// Close every connection with 3001.
    CloseAll(Pace),
    /// Close some connections with 3011.
    Shed(Arc<Shed>),
    /// Close no more of them.
    StopClosing,
}

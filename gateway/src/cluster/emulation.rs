//! What a client says whose connection is a stream, brought to the gateway that has it from whichever gateway was asked.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;
use uuid::Uuid;

use super::{
    Cluster, Command, Message, base64,
    survey::{Collected, TIMEOUT},
};
use crate::{bus::Recipient, gateway::Gateway, inbox::Note, session::StreamKey};

/// Commands of a client, in the encoding of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub key: StreamKey,
    #[serde(with = "base64")]
    pub data: Bytes,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hearing {
    Heard,
    /// There is no such session, here or anywhere.
    Unknown,
    /// So many commands of the session wait that it takes no more for now.
    Busy,
    /// The gateway that has the session did not answer.
    Unreachable,
}

impl Hearing {
    pub const ALL: [Self; 4] = [Self::Heard, Self::Unknown, Self::Busy, Self::Unreachable];

    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Unknown => "unknown",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Collected for Option<Hearing> {
    type Part = Hearing;

    fn add(&mut self, part: Hearing) {
        *self = Some(part);
    }
}

impl Cluster {
    /// Has the session of `said.key` at gateway `node` hear what its client says.
    pub async fn emulate(&self, gateway: &Gateway, node: Uuid, said: Said) -> Hearing {
        if node == self.node {
            return hear(gateway, said).await;
        }
        if !self.nodes.is_present(node) {
            return Hearing::Unknown;
        }
        let ask = |request| self.send(gateway, Recipient::Node(node), Message::Emulate { request, said });
        let answer = self.emulations.ask(HashSet::from([node]), ask).await;
        answer.ok().flatten().unwrap_or(Hearing::Unreachable)
    }
}

/// Answers another gateway, once the session has heard.
pub(super) fn answer(gateway: &Gateway, to: Uuid, request: Uuid, said: Said) {
    let Some(gateway) = gateway.shared() else { return };
    gateway.runtime.clone().spawn(async move {
        let hearing = hear(&gateway, said).await;
        let message = Message::Emulated { request, hearing };
        if let Err(error) = gateway.cluster.send(&gateway, Recipient::Node(to), message) {
            debug!(%error, "could not answer what was said to a stream");
        }
    });
}

async fn hear(gateway: &Gateway, said: Said) -> Hearing {
    let Some(inbox) = gateway.inbox_of(said.key.worker) else {
        return Hearing::Unknown;
    };
    let (answer, mut answered) = mpsc::unbounded_channel();
    inbox.push(Note::Command(Command::Emulate { said, answer }.into()));
    let answer = timeout(TIMEOUT, answered.recv()).await;
    answer.ok().flatten().unwrap_or(Hearing::Unreachable)
}

//! What a client says whose connection is a stream, brought to the gateway that has it from whichever gateway was asked.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::debug;
use uuid::Uuid;

use super::{Cluster, Command, Message, base64};
use crate::{bus::Recipient, gateway::Gateway, inbox::Note, session::StreamKey};

/// What the gateway with the stream may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

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

/// Answers that are waited for.
#[derive(Default)]
pub(super) struct Emulations(Mutex<HashMap<Uuid, oneshot::Sender<Hearing>>>);

impl Emulations {
    fn open(&self, request: Uuid) -> oneshot::Receiver<Hearing> {
        let (answer, answered) = oneshot::channel();
        self.0.lock().insert(request, answer);
        answered
    }

    /// An answer came; a late one finds nobody who waits.
    pub(super) fn answered(&self, request: Uuid, hearing: Hearing) {
        if let Some(answer) = self.0.lock().remove(&request) {
            let _ = answer.send(hearing);
        }
    }
}

impl Cluster {
    /// Has the session of `said.key` at gateway `node` hear what its client says.
    pub async fn emulate(&self, gateway: &Gateway, node: Uuid, said: Said) -> Hearing {
        if node == self.node {
            return hear(gateway, said).await;
        }
        if !self.nodes.present().iter().any(|info| info.uid == node) {
            return Hearing::Unknown;
        }
        let request = Uuid::new_v4();
        let answered = self.emulations.open(request);
        let asked = self.send(gateway, Recipient::Node(node), Message::Emulate { request, said });
        let answer = match asked {
            Ok(()) => timeout(TIMEOUT, answered).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        self.emulations.0.lock().remove(&request);
        answer.unwrap_or(Hearing::Unreachable)
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

//! Connections that a backend is asked about.

use std::sync::Arc;

use natter_protocol::{ConnectRequest, DisconnectCode, Payload};

use super::asking;
use crate::{
    admission::{Admission, Denial},
    bus::BoxFuture,
    gateway::Live,
    proxy::{Answered, Connected, Failure, ProxyKind, Question, Verdict},
    session::Session,
    wire::Encoding,
    worker::Worker,
};

impl Session {
    /// What a backend decides about a connection; `None` when none is to be asked.
    pub(in crate::session) fn ask_to_connect(
        &self,
        worker: &Worker,
        request: &ConnectRequest<'_>,
    ) -> Option<BoxFuture<Result<Admission, Denial>>> {
        let live = worker.gateway.live();
        let name = live.settings.client.connect_proxy.as_deref()?;
        let channels: Vec<&str> = request.subs.keys().map(|channel| &**channel).collect();
        let question = Question {
            data: request.data.map(Payload::bytes),
            name: &request.name,
            version: &request.version,
            channels: &channels,
            ..Question::default()
        };
        let takes_bytes = self.wire.encoding == Encoding::Protobuf;
        let asked = self.question(worker, ProxyKind::Connect, name, question, takes_bytes);
        let (proxy, call) = match asked {
            Ok(asked) => asked,
            Err(code) => return Some(Box::pin(async move { Err(Denial::Error(code.into())) })),
        };
        let asking = asking::<Connected>(worker, proxy, call);
        let vouched: Arc<str> = self.user().into();
        Some(Box::pin(async move { decide(&live, vouched, asking.await) }))
    }
}

/// `vouched`: the user that the proxy in front names, who stays; empty: nobody.
fn decide(
    live: &Live,
    vouched: Arc<str>,
    answered: Result<Answered<Connected>, Failure>,
) -> Result<Admission, Denial> {
    let connected = match answered {
        Ok(Answered { verdict, .. }) => match verdict {
            Verdict::Result(connected) => connected,
            Verdict::Error(error) => return Err(Denial::Foreign(error)),
            Verdict::Disconnect { code, reason } => return Err(Denial::Chosen { code, reason }),
        },
        Err(failure) => return Err(Denial::Error(failure.code().into())),
    };
    let is_named = connected.user.is_some() || !vouched.is_empty();
    if !is_named && !live.settings.allows_anonymous() {
        return Err(Denial::Disconnect(DisconnectCode::InvalidToken));
    }
    Ok(live.admit_as(vouched, connected, None))
}

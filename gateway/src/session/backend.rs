//! What a session asks backends ([`crate::proxy`]): a client's calls, and whether it may say what it says.
//!
//! A call leaves a place for its reply and goes on by itself; the session's other commands are carried out meanwhile, and
//! answered behind it. What a client says through a proxy is asked about one by one, in the order in which it was said, or
//! others would get it in another. When the session ends its calls end with it.

mod connecting;
mod joining;
mod renewing;

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use natter_protocol::{ErrorCode, Payload, ReplyBody, RpcRequest};
use serde_json::value::RawValue;
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;

use self::joining::Asking;
use super::{Ending, ReplySlot, Session, expiry::Expiring};
use crate::{
    channel::Channel,
    gateway::Source,
    proxy::{
        Answer, Answered, Call, Caller, Data, Failure, Foreign, Forwarded, Proxy, ProxyKind, Published,
        Question, Verdict,
    },
    room::HeldMessage,
    wire::Encoding,
    worker::Worker,
};

/// Why a publication was refused (label of the metric).
const BY_PROXY: &str = "proxy";

/// Calls of one client that are handed on at once: some sixteen clients, and not one, can take every place of a proxy.
/// Joins are bounded by `client.channel_limit`, and what is said goes one by one.
const MAX_RPCS: usize = 32;

/// What a session has to do with backends; most have nothing.
#[derive(Default)]
pub(super) struct Backend {
    /// Of the request for the connection.
    forwarded: Forwarded,
    /// Calls under way.
    calls: Vec<(CallFor, AbortHandle)>,
    /// What waits until the backend has judged what was said before.
    sayings: VecDeque<Saying>,
    is_saying: bool,
    /// Calls of the client's own among those under way; at most [`MAX_RPCS`].
    rpcs: usize,
    /// Joins that are not judged yet.
    askings: Vec<Asking>,
    /// Subscriptions that have expired and wait until others were asked about.
    renewals: VecDeque<Expiring>,
    /// What the backend said about the connection, for those who are to be told.
    meta: Option<Arc<RawValue>>,
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallFor {
    Reply(ReplySlot),
    Renewal(Expiring),
}

impl From<ReplySlot> for CallFor {
    fn from(slot: ReplySlot) -> Self {
        Self::Reply(slot)
    }
}

/// Something to be said if the backend permits it.
struct Saying {
    channel: Channel,
    held: HeldMessage,
    is_member: bool,
}

impl Backend {
    fn is_empty(&self) -> bool {
        self.forwarded.is_empty()
            && self.calls.is_empty()
            && self.sayings.is_empty()
            && !self.is_saying
            && self.rpcs == 0
            && self.askings.is_empty()
            && self.renewals.is_empty()
            && self.meta.is_none()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for (_, call) in &self.calls {
            call.abort();
        }
    }
}

impl Session {
    /// Keeps what backends are to be given of the request for the connection.
    pub fn forward(&self, forwarded: Forwarded) {
        if !forwarded.is_empty() {
            self.with_backend(|backend| backend.forwarded = forwarded);
        }
    }

    /// Keeps what the backend said about the connection.
    pub(super) fn note_meta(&self, meta: Option<Arc<RawValue>>) {
        if meta.is_some() {
            self.with_backend(|backend| backend.meta = meta);
        }
    }

    /// What a token or the backend said about the connection.
    pub(super) fn meta(&self) -> Option<Arc<RawValue>> {
        self.backend.borrow().as_ref()?.meta.clone()
    }

    /// Every change goes through here: the box is there as long as something is in it.
    fn with_backend<R>(&self, change: impl FnOnce(&mut Backend) -> R) -> R {
        let mut slot = self.backend.borrow_mut();
        let result = change(slot.get_or_insert_default());
        slot.take_if(|backend| backend.is_empty());
        result
    }

    /// Ends all calls. What was said and not judged is not published.
    pub(super) fn drop_backend(&self, worker: &Worker) {
        let Some(backend) = self.backend.take() else {
            return;
        };
        for saying in &backend.sayings {
            refused_by_proxy(worker, &saying.channel);
        }
    }

    /// Asks a backend; `then` gets the answer, unless the session ends before.
    fn ask<T: Answer>(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        purpose: impl Into<CallFor>,
        (proxy, call): (Arc<Proxy>, Call),
        then: impl FnOnce(&Rc<Self>, &Rc<Worker>, Result<Answered<T>, Failure>) + 'static,
    ) {
        self.wait(worker, purpose, asking(worker, proxy, call), then);
    }

    /// Waits for somebody's word; `then` gets it, unless the session ends before.
    pub(super) fn wait<R: 'static>(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        purpose: impl Into<CallFor>,
        word: impl Future<Output = R> + 'static,
        then: impl FnOnce(&Rc<Self>, &Rc<Worker>, R) + 'static,
    ) {
        let purpose = purpose.into();
        let (session, worker, known) = (self.clone(), worker.clone(), purpose.clone());
        let task = tokio::task::spawn_local(async move {
            let answered = word.await;
            session.with_backend(|backend| backend.calls.retain(|(call, _)| *call != known));
            if !session.is_over() {
                then(&session, &worker, answered);
            }
        });
        self.with_backend(|backend| backend.calls.push((purpose, task.abort_handle())));
    }

    /// Ends a call without its answer.
    fn give_up(&self, purpose: &CallFor) {
        self.with_backend(|backend| {
            let index = backend.calls.iter().position(|(known, _)| known == purpose);
            if let Some(index) = index {
                backend.calls.swap_remove(index).1.abort();
            }
        });
    }

    /// What a backend gave, or `None` when the client was told something else.
    fn judged<T>(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        slot: ReplySlot,
        command: &'static str,
        verdict: Result<Verdict<T>, Failure>,
    ) -> Option<T> {
        let failed = &worker.gateway.metrics.protocol;
        match verdict {
            Ok(Verdict::Result(result)) => return Some(result),
            Ok(Verdict::Error(error)) => {
                failed.command_failed(command, Foreign::COUNTED_AS);
                self.complete(worker, slot, error.body());
            }
            Ok(Verdict::Disconnect { code, reason }) => self.end(worker, &Ending::Chosen { code, reason }),
            Err(failure) => {
                failed.command_failed(command, failure.code().code());
                self.complete(worker, slot, ReplyBody::Error(failure.code()));
            }
        }
        None
    }

    /// A call that is ready, or why it cannot be made.
    fn question(
        &self,
        worker: &Worker,
        kind: ProxyKind,
        name: &str,
        question: Question<'_>,
        takes_bytes: bool,
    ) -> Result<(Arc<Proxy>, Call), ErrorCode> {
        let proxy = worker.gateway.proxies.get(name).ok_or(ErrorCode::Internal)?;
        let backend = self.backend.borrow();
        let caller = Caller {
            client: self.id,
            wire: self.wire,
            // Who it is is what is asked.
            user: if kind == ProxyKind::Connect {
                ""
            } else {
                self.user()
            },
            meta: backend.as_ref().and_then(|backend| backend.meta.as_deref()),
        };
        let body = proxy.body(caller, question).map_err(|_| ErrorCode::BadRequest)?;
        let forwarded = backend.as_ref().map(|backend| backend.forwarded.clone());
        let call = Call {
            kind,
            body,
            forwarded: forwarded.unwrap_or_default(),
            takes_bytes,
        };
        Ok((proxy, call))
    }

    /// Hands a call of the client on.
    pub(super) fn rpc(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &RpcRequest<'_>) {
        let live = worker.live();
        let Some(name) = &live.settings.client.rpc_proxy else {
            return self.reply_error(worker, id, "rpc", ErrorCode::NotAvailable);
        };
        let rpcs = self.backend.borrow().as_ref().map_or(0, |backend| backend.rpcs);
        if rpcs >= MAX_RPCS {
            return self.reply_error(worker, id, "rpc", ErrorCode::TooManyRequests);
        }
        let question = Question {
            method: &request.method,
            data: request.data.map(Payload::bytes),
            ..Question::default()
        };
        let takes_bytes = self.wire.encoding == Encoding::Protobuf;
        match self.question(worker, ProxyKind::Rpc, name, question, takes_bytes) {
            Err(error) => self.reply_error(worker, id, "rpc", error),
            Ok(asked) => {
                let slot = self.defer_reply(id);
                self.with_backend(|backend| backend.rpcs += 1);
                self.ask(worker, slot, asked, move |session, worker, answered| {
                    session.with_backend(|backend| backend.rpcs -= 1);
                    let verdict = answered.map(|answered| answered.verdict);
                    if let Some(Data(data)) = session.judged(worker, slot, "rpc", verdict) {
                        session.complete(worker, slot, ReplyBody::Rpc(&data.unwrap_or_default()));
                    }
                });
            }
        }
    }

    /// Lets the backend judge what is said, behind what was said before.
    pub(super) fn say_by_proxy(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        channel: &str,
        held: HeldMessage,
        is_member: bool,
    ) {
        let saying = Saying {
            channel: channel.into(),
            held,
            is_member,
        };
        self.with_backend(|backend| backend.sayings.push_back(saying));
        self.say_next(worker);
    }

    fn say_next(self: &Rc<Self>, worker: &Rc<Worker>) {
        while !self.is_over() {
            let next = self.with_backend(|backend| {
                let next = (!backend.is_saying)
                    .then(|| backend.sayings.pop_front())
                    .flatten();
                backend.is_saying |= next.is_some();
                next
            });
            let Some(saying) = next else { return };
            let slot = saying.held.slot;
            match self.question_of(worker, &saying) {
                Ok(asked) => {
                    return self.ask(worker, slot, asked, move |session, worker, answered| {
                        session.said(worker, saying, answered);
                        session.with_backend(|backend| backend.is_saying = false);
                        session.say_next(worker);
                    });
                }
                Err(error) => {
                    self.complete_refused(worker, slot, "publish", error);
                    self.with_backend(|backend| backend.is_saying = false);
                }
            }
        }
    }

    /// The backend is asked only about what the room's policy permits.
    fn question_of(&self, worker: &Worker, saying: &Saying) -> Result<(Arc<Proxy>, Call), ErrorCode> {
        let live = worker.live();
        let namespace = live.namespace(&saying.channel)?;
        let message = &saying.held.message;
        let refused = |error: ErrorCode| {
            namespace.metrics.offer(Source::Client).refuse(error.label());
            error
        };
        self.may_say(worker, namespace, &saying.channel, message, saying.is_member)
            .map_err(refused)?;
        let name = namespace.options.publish_proxy.as_deref();
        let question = Question {
            channel: &saying.channel,
            data: message.data.as_deref(),
            ..Question::default()
        };
        self.question(
            worker,
            ProxyKind::Publish,
            name.ok_or(ErrorCode::Internal)?,
            question,
            namespace.is_binary(),
        )
        .map_err(refused)
    }

    /// The backend has judged.
    fn said(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        saying: Saying,
        answered: Result<Answered<Published>, Failure>,
    ) {
        let slot = saying.held.slot;
        let (verdict, traceparent) = match answered {
            Ok(Answered { verdict, traceparent }) => (Ok(verdict), traceparent),
            Err(failure) => (Err(failure), None),
        };
        let Some(published) = self.judged(worker, slot, "publish", verdict) else {
            return refused_by_proxy(worker, &saying.channel);
        };
        let mut message = saying.held.message;
        if let Some(data) = published.data {
            message.data = Some(data);
        }
        message.traceparent = traceparent;
        if published.skips_history && is_durable(worker, &saying.channel) {
            // As in the server API: every message of such a room is stored.
            return self.complete_refused(worker, slot, "publish", ErrorCode::NotAvailable);
        }
        // It may have left meanwhile, and said it as a member. A rule that keeps it out by now keeps this out as well.
        self.say(
            worker,
            &saying.channel,
            HeldMessage { slot, message },
            saying.is_member,
        );
    }
}

/// Asks on the control runtime, for as long as somebody waits for it.
fn asking<T: Answer>(
    worker: &Worker,
    proxy: Arc<Proxy>,
    call: Call,
) -> impl Future<Output = Result<Answered<T>, Failure>> + use<T> {
    let asking = worker
        .gateway
        .runtime
        .spawn(async move { proxy.ask::<T>(call).await });
    let asking = AbortOnDropHandle::new(asking);
    async move { asking.await.unwrap_or(Err(Failure::Cancelled)) }
}

fn refused_by_proxy(worker: &Worker, channel: &str) {
    if let Some(namespace) = worker.live().namespaces.of(channel) {
        namespace.metrics.offer(Source::Client).refuse(BY_PROXY);
    }
}

/// Whether a backend is asked about what is said in the room.
pub(super) fn asks_to_say(worker: &Worker, channel: &str) -> bool {
    let live = worker.live();
    // Most gateways have no backend to ask.
    !live.settings.proxies.is_empty()
        && (live.namespaces.of(channel)).is_some_and(|namespace| namespace.options.publish_proxy.is_some())
}

fn is_durable(worker: &Worker, channel: &str) -> bool {
    let live = worker.live();
    (live.namespaces.of(channel)).is_some_and(|namespace| namespace.history.is_some())
}

/// Who is asked about joins of the room.
pub(super) fn subscribe_proxy(worker: &Worker, channel: &str) -> Option<String> {
    let live = worker.live();
    (live.namespaces.of(channel)).and_then(|namespace| namespace.options.subscribe_proxy.clone())
}

//! Calls of the server API as NATS requests: every gateway of the cluster is in one queue group, so NATS gives each call to
//! one of them. Who may call is who may publish to the subjects.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::select_all};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{Level, warn};

use super::{Shared, message};
use crate::bus::{Answer, BusError, BusRequest};

/// All gateways of a cluster share the calls.
pub(super) const GROUP: &str = "gateways";

/// The calls that this gateway takes.
pub(super) struct Requests {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Requests {
    pub(super) async fn start(shared: &Arc<Shared>) -> Result<Self, BusError> {
        let mut subscribers = Vec::new();
        for subject in [shared.subjects.api(), shared.subjects.api_methods()] {
            let subscribe = shared.client.queue_subscribe(subject, GROUP.to_owned());
            let subscriber = timeout(shared.config.request_timeout, subscribe)
                .await
                .map_err(|_| BusError::Timeout)?
                .map_err(|_| BusError::Refused)?;
            subscribers.push(subscriber);
        }
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(take(shared.clone(), subscribers, stopped));
        Ok(Self {
            stop,
            task: Mutex::new(Some(task)),
        })
    }

    /// Leaves the queue group; what NATS has given to this gateway already is handed on before.
    pub(super) async fn leave(&self, deadline: Instant) {
        let task = self.task.lock().take();
        // The task is there as long as it listens.
        let _ = self.stop.send(true);
        if let Some(task) = task
            && timeout_at(deadline, task).await.is_err()
        {
            warn!("NATS did not say in time that it sends no more calls of the server API");
        }
    }
}

async fn take(shared: Arc<Shared>, subscribers: Vec<Subscriber>, mut stopped: watch::Receiver<bool>) {
    let mut messages = select_all(subscribers);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => hand_on(&shared, message),
                None => return,
            },
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    for subscriber in &mut messages {
        if subscriber.drain().await.is_err() {
            return;
        }
    }
    while let Some(message) = messages.next().await {
        hand_on(&shared, message);
    }
}

fn hand_on(shared: &Arc<Shared>, message: Message) {
    if let Some(reply) = &message.reply
        && shared.subjects.is_reserved(reply)
    {
        shared.metrics.error("api_reply");
        if shared.log_budget.cause("api_reply", Level::WARN).admit() {
            warn!(%reply, "refused a call over the bus: its answer would not go to an inbox");
        }
        return;
    }
    let method = shared.subjects.api_method(&message.subject).map(str::to_owned);
    let traceparent = message::traceparent(&message).map(str::to_owned);
    shared.events.request(BusRequest {
        method,
        body: message.payload,
        traceparent,
        answer: answer(shared.clone(), message.reply),
    });
}

/// A caller that waits for nothing gets nothing.
fn answer(shared: Arc<Shared>, reply: Option<async_nats::Subject>) -> Answer {
    Answer::new(move |body: Bytes| {
        async move {
            let Some(reply) = reply else { return Ok(()) };
            let publish = shared.client.publish(reply, body);
            timeout(shared.config.request_timeout, publish)
                .await
                .map_err(|_| BusError::Timeout)?
                .map_err(|_| BusError::Refused)
        }
        .boxed()
    })
}

//! Questions to `JetStream` and their answers, over one inbox that lives as long as the connection: that of the client, or
//! the link, whose answers come behind everything that the server sent there before.
//!
//! A question is queued without waiting, so that the order of calls is the order on the wire. Its answers find it by
//! the last token of their subject. Waiting ends with the question's guard, so nothing is left behind by a caller
//! that gave up.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Client, HeaderMap, Message, client::PublishErrorKind, connection::State};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use crate::bus::{
    BusError,
    nats::link::{Delivery, Link, Outgoing, Subscription, Taker},
};

pub(super) struct Requests {
    carrier: Carrier,
    /// Ends with a dot; the token of the question follows.
    inbox: String,
    next_token: AtomicU64,
    waiting: Arc<Waiting>,
}

/// The connection of the questions, with the inbox of their answers.
enum Carrier {
    Client { client: Client, receiver: AbortHandle },
    Link { link: Link, _inbox: Subscription },
}

/// Who waits for an answer, by the token of its question.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, Waiter>>);

enum Waiter {
    One(oneshot::Sender<Message>),
    Many(mpsc::Sender<Message>),
}

/// What is sent.
pub(super) struct Question {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// The wait for the one answer of a question.
pub(super) struct Answer {
    receiver: oneshot::Receiver<Message>,
    _place: Place,
}

/// The wait for all answers of a question.
pub(super) struct Answers {
    receiver: mpsc::Receiver<Message>,
    _place: Place,
}

/// Takes the waiter out when nobody waits any more.
struct Place {
    token: u64,
    waiting: Arc<Waiting>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.0.lock().remove(&self.token);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Self::Client { receiver, .. } = self {
            receiver.abort();
        }
    }
}

impl Requests {
    /// Over the client.
    pub(super) async fn start(client: Client) -> Result<Self, BusError> {
        let inbox = client.new_inbox();
        let mut answers = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|_| BusError::Refused)?;
        let waiting = Arc::<Waiting>::default();
        let shared = waiting.clone();
        let receive = async move {
            while let Some(answer) = answers.next().await {
                shared.answer(answer);
            }
            // The client is closed: nobody waits for nothing.
            shared.0.lock().clear();
        };
        let receiver = tokio::spawn(receive).abort_handle();
        Ok(Self::new(&inbox, waiting, Carrier::Client { client, receiver }))
    }

    /// Over the link; `inbox` is a subject of nobody else.
    pub(super) fn over(link: &Link, inbox: &str) -> Self {
        let waiting = Arc::<Waiting>::default();
        let carrier = Carrier::Link {
            link: link.clone(),
            _inbox: link.subscribe(&format!("{inbox}.*"), waiting.clone()),
        };
        Self::new(inbox, waiting, carrier)
    }

    fn new(inbox: &str, waiting: Arc<Waiting>, carrier: Carrier) -> Self {
        Self {
            carrier,
            inbox: format!("{inbox}."),
            next_token: AtomicU64::new(0),
            waiting,
        }
    }

    /// Whether nobody waits for an answer.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.0.lock().is_empty()
    }

    /// Queues a question that has one answer.
    pub(super) fn ask(&self, question: Question) -> Result<Answer, BusError> {
        let (sender, receiver) = oneshot::channel();
        let place = self.send(question, Waiter::One(sender))?;
        Ok(Answer {
            receiver,
            _place: place,
        })
    }

    /// Queues a question that has at most `most` answers; more are dropped.
    pub(super) fn ask_many(&self, question: Question, most: usize) -> Result<Answers, BusError> {
        let (sender, receiver) = mpsc::channel(most);
        let place = self.send(question, Waiter::Many(sender))?;
        Ok(Answers {
            receiver,
            _place: place,
        })
    }

    fn send(&self, question: Question, waiter: Waiter) -> Result<Place, BusError> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        self.waiting.0.lock().insert(token, waiter);
        let place = Place {
            token,
            waiting: self.waiting.clone(),
        };
        let reply = format!("{}{token:x}", self.inbox);
        self.carrier.publish(question, reply).map(|()| place)
    }
}

impl Carrier {
    fn publish(&self, question: Question, reply: String) -> Result<(), BusError> {
        let Question {
            subject,
            headers,
            payload,
        } = question;
        let client = match self {
            Self::Client { client, .. } => client,
            Self::Link { link, .. } => {
                return link.publish(&Outgoing {
                    subject: &subject,
                    reply: Some(&reply),
                    headers: &headers,
                    payload: &payload,
                });
            }
        };
        // A disconnected client would keep the question and send it late.
        if client.connection_state() != State::Connected {
            return Err(BusError::Disconnected);
        }
        // Outside tokio's cooperative budget: a pending answer can then only mean that the queue is full.
        let publish = client.publish_with_reply_and_headers(subject, reply, headers, payload);
        match tokio::task::unconstrained(publish).now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge,
                _ => BusError::Refused,
            }),
            None => Err(BusError::Overloaded),
        }
    }
}

impl Waiting {
    fn answer(&self, message: Message) {
        let token = message.subject.rsplit('.').next();
        let Some(token) = token.and_then(|token| u64::from_str_radix(token, 16).ok()) else {
            return;
        };
        let mut waiting = self.0.lock();
        match waiting.get(&token) {
            // A full queue shows to its reader as a hole in the answers.
            Some(Waiter::Many(sender)) => drop(sender.try_send(message)),
            Some(Waiter::One(_)) => {
                if let Some(Waiter::One(sender)) = waiting.remove(&token) {
                    // The caller may have given up.
                    let _ = sender.send(message);
                }
            }
            None => {}
        }
    }
}

impl Taker for Waiting {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        self.answer(delivery.to_message());
    }
}

impl Answer {
    pub(super) async fn until(self, deadline: Instant) -> Result<Message, BusError> {
        match timeout_at(deadline, self.receiver).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(_)) => Err(BusError::Disconnected),
            Err(_) => Err(BusError::Timeout),
        }
    }
}

impl Answers {
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Message, BusError> {
        match timeout_at(deadline, self.receiver.recv()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(BusError::Disconnected),
            Err(_) => Err(BusError::Timeout),
        }
    }
}

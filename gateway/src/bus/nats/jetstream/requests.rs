//! Questions to `JetStream` and their answers, over one inbox that lives as long as the connection: that of the client, or
//! the link, whose answers come behind everything that the server sent there before.
//!
//! A question is queued without waiting, so that the order of calls is the order on the wire. Its answers find it by
//! the last token of their subject. Waiting ends with the question's guard, so nothing is left behind by a caller
//! that gave up.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Client, HeaderMap, Message, Subject, client::PublishErrorKind, connection::State};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use crate::{
    bus::{
        BusError,
        nats::{
            link::{Delivery, Link, Outgoing, Subscription, Taker},
            refusals::{Asker, Refusals},
        },
    },
    history::StoreError,
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

struct Waiter {
    /// Of the question.
    subject: Subject,
    answers: Sender,
}

enum Sender {
    One(oneshot::Sender<Answered>),
    Many(mpsc::Sender<Answered>),
}

type Answered = Result<Message, AskError>;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Bus(#[from] BusError),
    /// NATS says so by itself, and nothing in its place.
    #[error("NATS does not permit to publish to {0}")]
    NotPermitted(String),
}

impl From<AskError> for BusError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Bus(error) => error,
            AskError::NotPermitted(_) => Self::Refused,
        }
    }
}

impl From<AskError> for StoreError {
    fn from(error: AskError) -> Self {
        BusError::from(error).into()
    }
}

/// What is sent.
pub(super) struct Question {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// The wait for the one answer of a question.
pub(super) struct Answer {
    receiver: oneshot::Receiver<Answered>,
    _place: Place,
}

/// The wait for all answers of a question.
pub(super) struct Answers {
    receiver: mpsc::Receiver<Answered>,
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
    pub(super) async fn start(client: Client, refusals: &Refusals) -> Result<Self, BusError> {
        let inbox = client.new_inbox();
        let mut answers = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|_| BusError::Refused)?;
        let waiting = Waiting::told_by(refusals);
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
    pub(super) fn over(link: &Link, inbox: &str, refusals: &Refusals) -> Self {
        let waiting = Waiting::told_by(refusals);
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
        let place = self.send(question, Sender::One(sender))?;
        Ok(Answer {
            receiver,
            _place: place,
        })
    }

    /// Queues a question that has at most `most` answers; more are dropped.
    pub(super) fn ask_many(&self, question: Question, most: usize) -> Result<Answers, BusError> {
        let (sender, receiver) = mpsc::channel(most);
        let place = self.send(question, Sender::Many(sender))?;
        Ok(Answers {
            receiver,
            _place: place,
        })
    }

    fn send(&self, question: Question, answers: Sender) -> Result<Place, BusError> {
        let subject = question.subject.clone();
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        self.waiting.0.lock().insert(token, Waiter { subject, answers });
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
                    subject: subject.as_str(),
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
        match waiting.get(&token).map(|waiter| &waiter.answers) {
            // A full queue shows to its reader as a hole in the answers.
            Some(Sender::Many(sender)) => drop(sender.try_send(Ok(message))),
            Some(Sender::One(_)) => {
                if let Some(waiter) = waiting.remove(&token) {
                    waiter.answer(Ok(message));
                }
            }
            None => {}
        }
    }

    fn told_by(refusals: &Refusals) -> Arc<Self> {
        let waiting = Arc::<Self>::default();
        let asker: Weak<Self> = Arc::downgrade(&waiting);
        refusals.tell(asker);
        waiting
    }
}

impl Waiter {
    /// The caller may have given up.
    fn answer(self, answer: Answered) {
        match self.answers {
            Sender::One(sender) => drop(sender.send(answer)),
            Sender::Many(sender) => drop(sender.try_send(answer)),
        }
    }
}

impl Asker for Waiting {
    /// NATS does not say which question it means: one that may not be asked now may not be asked by its neighbours either.
    fn refused(&self, subject: &str) {
        let refused = {
            let mut waiting = self.0.lock();
            let refused: Vec<_> = waiting
                .extract_if(|_, waiter| waiter.subject.as_str() == subject)
                .collect();
            refused
        };
        for (_, waiter) in refused {
            waiter.answer(Err(AskError::NotPermitted(subject.to_owned())));
        }
    }
}

impl Taker for Waiting {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        self.answer(delivery.to_message());
    }
}

impl Answer {
    pub(super) async fn until(self, deadline: Instant) -> Result<Message, AskError> {
        match timeout_at(deadline, self.receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BusError::Disconnected.into()),
            Err(_) => Err(BusError::Timeout.into()),
        }
    }
}

impl Answers {
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Message, AskError> {
        match timeout_at(deadline, self.receiver.recv()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(BusError::Disconnected.into()),
            Err(_) => Err(BusError::Timeout.into()),
        }
    }
}

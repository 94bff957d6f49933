//! Direct reads (ADR-31): any replica answers, many messages to one question.
//!
//! A replica may lag behind the leader, so what is missing here may exist; [`super::history`] deals with that. Within
//! one answer every message names the one before it, which shows messages that the client had to drop.

use async_nats::{HeaderMap, Message, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    JetStream,
    api::nanoseconds,
    requests::{Answers, Question},
};
use crate::bus::{BusError, nats::message::Headers};

/// Subjects that one question may name; the server refuses more.
pub(super) const MAX_SUBJECTS: usize = 1_024;

/// Bytes of one answer about heads: bounds what the inbox has to hold.
const HEADS_BYTES: usize = 8 << 20;

/// End of an answer.
const END: u16 = 204;
const NOT_FOUND: u16 = 404;

/// A message of a stream, with the headers that the read added.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// How many further messages match, this one not counted.
    pub(super) pending: u64,
    pub(super) message: Message,
}

/// The answer to one question.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In order of sequence.
    pub(super) messages: Vec<Stored>,
    /// Whether further messages match.
    pub(super) more: bool,
}

impl Stored {
    fn read(message: Message) -> Option<Self> {
        Some(Self {
            sequence: number(&message, "Nats-Sequence")?,
            pending: number(&message, "Nats-Num-Pending").unwrap_or(0),
            message,
        })
    }

    /// The subject that it was stored under.
    pub(super) fn subject(&self) -> Option<&str> {
        self.message.header("Nats-Subject")
    }

    /// When it was stored, in nanoseconds of Unix time.
    pub(super) fn time(&self) -> u64 {
        self.message.header("Nats-Time-Stamp").map_or(0, nanoseconds)
    }
}

/// Where a stream is asked for messages.
pub(in crate::bus::nats) fn messages_of(stream: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}")
}

/// Where a stream is asked for the newest message of one of its subjects.
pub(in crate::bus::nats) fn newest_of(stream: &str, subject: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}.{subject}")
}

pub(super) fn number(message: &impl Headers, name: &'static str) -> Option<u64> {
    message.header(name)?.parse().ok()
}

impl JetStream {
    /// Messages of `subject` from sequence `from` on, at most `limit` and about `max_bytes`.
    pub(super) async fn read(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Batch, BusError> {
        let question = json!({
            "seq": from.max(1),
            "next_by_subj": subject,
            "batch": limit,
            "max_bytes": max_bytes,
        });
        self.batch(stream, &question, limit).await
    }

    /// Sequence of the newest message of `subject`, as some replica knows it.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Option<u64>, BusError> {
        let subject = newest_of(stream, subject);
        Ok(self.single(subject, None).await?.map(|stored| stored.sequence))
    }

    /// The message with this sequence, if the replica that answers has it.
    pub(super) async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, BusError> {
        let subject = messages_of(stream);
        self.single(subject, Some(json!({ "seq": sequence }))).await
    }

    /// Newest sequences of up to 1,024 subjects, as some replica knows them; subjects without messages are left out.
    /// The server sends the messages along, so this costs their size.
    pub(in crate::bus::nats) async fn heads(
        &self,
        stream: &str,
        subjects: &[&str],
    ) -> Result<Vec<(String, u64)>, BusError> {
        let mut heads = Vec::with_capacity(subjects.len());
        let mut left = subjects.to_vec();
        while !left.is_empty() {
            if left.len() > MAX_SUBJECTS {
                return Err(BusError::TooLarge);
            }
            let question = json!({
                "multi_last": left,
                "batch": left.len(),
                "max_bytes": HEADS_BYTES,
            });
            let batch = self.batch(stream, &question, left.len()).await?;
            let known = heads.len();
            heads.extend(
                batch
                    .messages
                    .iter()
                    .filter_map(|stored| Some((stored.subject()?.to_owned(), stored.sequence))),
            );
            // What did not fit is asked for again.
            if !batch.more || heads.len() == known {
                break;
            }
            let answered: std::collections::HashSet<_> = heads[known..]
                .iter()
                .map(|(subject, _)| subject.as_str())
                .collect();
            left.retain(|subject| !answered.contains(subject));
        }
        Ok(heads)
    }

    async fn single(&self, subject: String, body: Option<Value>) -> Result<Option<Stored>, BusError> {
        let answer = self.requests.ask(question(subject, body.as_ref()))?;
        let message = answer.until(Instant::now() + self.limits.request).await?;
        match message.status.map(|status| status.as_u16()) {
            None => Stored::read(message).map(Some).ok_or(BusError::Refused),
            Some(NOT_FOUND) => Ok(None),
            Some(_) => Err(refusal(&message)),
        }
    }

    async fn batch(&self, stream: &str, body: &Value, limit: usize) -> Result<Batch, BusError> {
        let subject = messages_of(stream);
        let deadline = Instant::now() + self.limits.request;
        // The end is a message of its own.
        let answers = self
            .requests
            .ask_many(question(subject, Some(body)), limit.saturating_add(1))?;
        collect(answers, deadline).await
    }
}

fn question(subject: String, body: Option<&Value>) -> Question {
    Question {
        subject: subject.into(),
        headers: HeaderMap::new(),
        payload: body.map(|body| body.to_string().into()).unwrap_or_default(),
    }
}

async fn collect(mut answers: Answers, deadline: Instant) -> Result<Batch, BusError> {
    let mut batch = Batch::default();
    loop {
        let message = answers.next(deadline).await?;
        match message.status.map(|status| status.as_u16()) {
            None => {}
            Some(END) => {
                follows(&batch, &message)?;
                batch.more = number(&message, "Nats-Num-Pending").unwrap_or(0) > 0;
                return Ok(batch);
            }
            Some(NOT_FOUND) => return Ok(batch),
            Some(_) => return Err(refusal(&message)),
        }
        follows(&batch, &message)?;
        batch
            .messages
            .push(Stored::read(message).ok_or(BusError::Refused)?);
    }
}

/// A hole means that messages arrived faster than they could be taken.
fn follows(batch: &Batch, message: &Message) -> Result<(), BusError> {
    let before = batch.messages.last().map_or(0, |stored| stored.sequence);
    match number(message, "Nats-Last-Sequence") {
        Some(named) if named != before => Err(BusError::Overloaded),
        _ => Ok(()),
    }
}

/// Nobody answers when the stream is missing, has no leader yet, or allows no direct reads.
fn refusal(message: &Message) -> BusError {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        BusError::Disconnected
    } else {
        BusError::Refused
    }
}

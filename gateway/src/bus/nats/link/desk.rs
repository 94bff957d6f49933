//! What a link says to its server: what is subscribed, what is to be written, what the server has confirmed.
//!
//! Everything that is said goes through one buffer, under one lock, in the order of calls: a question that follows a SUB
//! also follows it on the wire, which the join barrier and the probe rest on.
//!
//! A new connection is told of all subscriptions in portions, in between of what is said meanwhile. A subscription that
//! has not had its turn yet is neither said nor taken back by itself. After the last one a PING asks whether the server
//! has taken them all; with its answer the link is ready.

use std::{io::Write, sync::Arc};

use async_nats::HeaderMap;

use super::{
    Taker,
    delivery::write_headers,
    interests::{Interests, Sid},
};
use crate::bus::BusError;

/// Subscriptions that are written at once after a connect.
const PORTION: usize = 1_024;
/// Bytes of questions that may wait to be written.
const MAX_WAITING: usize = 8 << 20;
/// PINGs in a row that may stay without an answer.
const UNANSWERED: u64 = 2;

#[derive(Default)]
pub(super) struct Desk {
    interests: Interests,
    outgoing: Vec<u8>,
    /// `None` while there is no connection.
    session: Option<Session>,
    /// Counts connections.
    number: u64,
}

/// The present connection.
struct Session {
    max_payload: usize,
    /// The server was told of the places before this one.
    told: usize,
    pings: u64,
    pongs: u64,
    confirmation: Confirmation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    /// Not all subscriptions are written.
    Telling,
    /// The answer to this PING says that all are taken.
    Asked(u64),
    Ready,
}

/// A message to be published.
pub(in crate::bus::nats) struct Outgoing<'a> {
    pub(in crate::bus::nats) subject: &'a str,
    pub(in crate::bus::nats) reply: Option<&'a str>,
    pub(in crate::bus::nats) headers: &'a HeaderMap,
    pub(in crate::bus::nats) payload: &'a [u8],
}

impl Desk {
    pub(super) fn open(&mut self, max_payload: usize) {
        self.number += 1;
        self.outgoing.clear();
        self.interests.forget_refusals();
        self.session = Some(Session {
            max_payload,
            told: 0,
            pings: 0,
            pongs: 0,
            confirmation: Confirmation::Telling,
        });
    }

    pub(super) fn close(&mut self) {
        self.session = None;
        self.outgoing = Vec::new();
    }

    /// Number of the connection that has taken all subscriptions.
    pub(super) fn ready(&self) -> Option<u64> {
        let session = self.session.as_ref()?;
        (session.confirmation == Confirmation::Ready).then_some(self.number)
    }

    pub(super) fn subscribe(&mut self, subject: &str, taker: Arc<dyn Taker>) -> Sid {
        let sid = self.interests.add(subject, taker);
        if self.was_told(sid) {
            sub(&mut self.outgoing, sid, subject);
        }
        sid
    }

    pub(super) fn unsubscribe(&mut self, sid: Sid) -> Option<Arc<dyn Taker>> {
        let taker = self.interests.remove(sid)?;
        if self.was_told(sid) {
            line(&mut self.outgoing, format_args!("UNSUB {}", sid.0));
        }
        Some(taker)
    }

    fn was_told(&self, sid: Sid) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| sid.place() < session.told)
    }

    pub(super) fn publish(&mut self, message: &Outgoing<'_>) -> Result<(), BusError> {
        let session = self
            .session
            .as_ref()
            .filter(|session| session.confirmation == Confirmation::Ready);
        let session = session.ok_or(BusError::Disconnected)?;
        if self.outgoing.len() > MAX_WAITING {
            return Err(BusError::Overloaded);
        }
        let mut headers = Vec::new();
        if !message.headers.is_empty() {
            write_headers(message.headers, &mut headers);
        }
        let length = headers.len() + message.payload.len();
        if length > session.max_payload {
            return Err(BusError::TooLarge);
        }
        let reply = message.reply.map(|reply| format!("{reply} ")).unwrap_or_default();
        if headers.is_empty() {
            line(
                &mut self.outgoing,
                format_args!("PUB {} {reply}{length}", message.subject),
            );
        } else {
            let of_headers = headers.len();
            line(
                &mut self.outgoing,
                format_args!("HPUB {} {reply}{of_headers} {length}", message.subject),
            );
        }
        for part in [&headers[..], message.payload, b"\r\n"] {
            self.outgoing.extend_from_slice(part);
        }
        Ok(())
    }

    /// What is to be written next; `written` is the empty buffer that is filled then. Adds a portion of subscriptions.
    pub(super) fn take_outgoing(&mut self, written: Vec<u8>) -> Vec<u8> {
        self.tell_more();
        std::mem::replace(&mut self.outgoing, written)
    }

    fn tell_more(&mut self) {
        let telling = |session: &&mut Session| session.confirmation == Confirmation::Telling;
        let Some(session) = self.session.as_mut().filter(telling) else {
            return;
        };
        let mut count = 0;
        for (sid, subject) in self.interests.starting_at(session.told).take(PORTION) {
            sub(&mut self.outgoing, sid, subject);
            session.told = sid.place() + 1;
            count += 1;
        }
        if count < PORTION {
            // Whoever subscribes from now on says so.
            session.told = usize::MAX;
            session.confirmation = Confirmation::Asked(session.pings + 1);
            session.ping(&mut self.outgoing);
        }
    }

    /// Asks whether the server is there; false when it has not answered for too long.
    pub(super) fn ping(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            return false;
        };
        if session.pings - session.pongs >= UNANSWERED {
            return false;
        }
        session.ping(&mut self.outgoing);
        true
    }

    /// The server asks.
    pub(super) fn pong(&mut self) {
        line(&mut self.outgoing, format_args!("PONG"));
    }

    /// The server has answered; true when that makes the link ready.
    pub(super) fn ponged(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            return false;
        };
        session.pongs = session.pings.min(session.pongs + 1);
        let becomes_ready =
            matches!(session.confirmation, Confirmation::Asked(ping) if session.pongs >= ping);
        if becomes_ready {
            session.confirmation = Confirmation::Ready;
        }
        becomes_ready
    }

    pub(super) fn interests(&self) -> &Interests {
        &self.interests
    }

    pub(super) fn refuse(&mut self, subject: &[u8]) {
        self.interests.refuse(subject);
    }
}

impl Session {
    fn ping(&mut self, outgoing: &mut Vec<u8>) {
        self.pings += 1;
        line(outgoing, format_args!("PING"));
    }
}

fn sub(outgoing: &mut Vec<u8>, sid: Sid, subject: &str) {
    line(outgoing, format_args!("SUB {subject} {}", sid.0));
}

fn line(outgoing: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = write!(outgoing, "{text}\r\n");
}

#[cfg(test)]
mod tests;

//! What a NATS server does not permit, read from its words.
//!
//! The server says it once, about a subject and not about a message, and whoever waits for an answer would wait until its time is
//! up. So questions whose subject is refused are answered here ([`Refusals`]). A publication that nobody answers is lost,
//! like any other that NATS does not take; what is left of it is a line of the log and a count.

use std::sync::Weak;

use parking_lot::Mutex;
use tracing::warn;

use crate::{metrics::BusMetrics, telemetry::CauseBudget};

/// What the server says of a message or a subscription that its user has no permission for; the subject follows in quotes.
const PUBLISH: &str = "Permissions Violation for Publish to ";
const SUBSCRIBE: &str = "Permissions Violation for Subscription to ";

/// Budget of the log lines about all that NATS refuses.
pub(super) const REFUSAL_LINES: &str = "nats_refusal";

/// An error in a server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This may not be published to.
    Publish(String),
    /// This may not be subscribed.
    Subscribe(String),
    Other,
}

/// Waits for answers to what it published.
pub(super) trait Asker: Send + Sync {
    /// Nothing may be published to this subject.
    fn refused(&self, subject: &str);
}

/// Tells whoever asks what it may not ask.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Vec<Weak<dyn Asker>>>);

impl Refusal {
    pub(super) fn read(text: &str) -> Self {
        if let Some(subject) = text.strip_prefix(PUBLISH) {
            Self::Publish(unquoted(subject))
        } else if let Some(subject) = text.strip_prefix(SUBSCRIBE) {
            Self::Subscribe(unquoted(subject))
        } else {
            Self::Other
        }
    }

    /// Counts it and says it in the log.
    pub(super) fn report(&self, text: &str, connection: &str, metrics: &BusMetrics, lines: &CauseBudget) {
        metrics.error(match self {
            Self::Publish(_) | Self::Subscribe(_) => "permission",
            Self::Other => "server",
        });
        if !lines.admit() {
            return;
        }
        match self {
            Self::Publish(subject) => warn!(subject, connection, "NATS does not permit to publish"),
            Self::Subscribe(subject) => warn!(subject, connection, "NATS does not permit to subscribe"),
            Self::Other => warn!(error = text, connection, "NATS refused something"),
        }
    }
}

impl Refusals {
    /// Tells this one from now on.
    pub(super) fn tell(&self, asker: Weak<dyn Asker>) {
        self.0.lock().push(asker);
    }

    pub(super) fn hear(&self, refusal: &Refusal) {
        let Refusal::Publish(subject) = refusal else {
            return;
        };
        let askers: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        for asker in askers {
            asker.refused(subject);
        }
    }
}

/// A subject as Go quotes it; the name of a queue group may follow.
fn unquoted(text: &str) -> String {
    let mut subject = String::new();
    let mut characters = text.chars().skip(1);
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => subject.extend(characters.next()),
            plain => subject.push(plain),
        }
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_server_are_read() {
        for (text, refusal) in [
            (
                r#"Permissions Violation for Publish to "$JS.API.STREAM.INFO.n_chat_0""#,
                Refusal::Publish("$JS.API.STREAM.INFO.n_chat_0".into()),
            ),
            (
                r#"Permissions Violation for Publish to "n.eph.0.a\"b\\c""#,
                Refusal::Publish(r#"n.eph.0.a"b\c"#.into()),
            ),
            (
                r#"Permissions Violation for Subscription to "n.api" using queue "gateways""#,
                Refusal::Subscribe("n.api".into()),
            ),
            ("maximum subscriptions exceeded", Refusal::Other),
            (
                "Permissions Violation for Publish to ",
                Refusal::Publish(String::new()),
            ),
        ] {
            assert_eq!(Refusal::read(text), refusal, "{text}");
        }
    }
}

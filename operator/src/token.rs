//! The bearer tokens of control calls, and their rotation.
//!
//! A token is computed: from a key that only operators know, the cluster it is for, and the month. So no operator has to read
//! Secrets of other namespaces, or to remember when it rotated: every operator of one installation knows the tokens of every
//! cluster at any time. The gateways accept those of the former, the present and the next month, which are in the Secret that
//! they mount, and the operator uses the present one. Whenever it goes on to the next, the gateways have known that for a
//! month, so that no call is ever refused for a Secret that the kubelet has not brought yet.

mod key;
mod secret;

use std::{fmt::Write as _, time::Duration};

use k8s_openapi::jiff::Timestamp;
use ring::hmac;

pub use self::{key::load, secret::Secrets};

/// How long a token is used.
const PERIOD: Duration = Duration::from_hours(24 * 30);

/// Computes tokens. Its `Debug` names the algorithm alone.
#[derive(Clone, Debug)]
pub struct TokenKey(hmac::Key);

/// A span of time in which one token is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(i64);

impl Period {
    /// The one that `now` is in.
    pub fn of(now: Timestamp) -> Self {
        let length = i64::try_from(PERIOD.as_secs()).unwrap_or(i64::MAX);
        Self(now.as_second().div_euclid(length))
    }
}

impl TokenKey {
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The token to use for the cluster with this uid.
    pub fn token(&self, uid: &str, period: Period) -> String {
        self.sign(&format!("natter.dev/control/{uid}/{}", period.0))
    }

    /// The password of a user of the cluster's managed NATS. A letter comes first: NATS reads what begins with a digit as a number.
    pub fn nats_password(&self, uid: &str, user: &str) -> String {
        format!("n{}", self.sign(&format!("natter.dev/nats/{uid}/{user}")))
    }

    fn sign(&self, message: &str) -> String {
        let tag = hmac::sign(&self.0, message.as_bytes());
        tag.as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The tokens that gateways accept, one a line, the present one first.
    pub fn file(&self, uid: &str, period: Period) -> String {
        [0, 1, -1]
            .map(|offset| self.token(uid, Period(period.0 + offset)) + "\n")
            .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_know_a_token_a_month_before_and_after_it_is_used() {
        let key = TokenKey::new(b"a key of a test");
        let now = Period::of("2026-11-21T00:00:00Z".parse().unwrap());
        let file = key.file("uid", now);
        let lines: Vec<_> = file.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], key.token("uid", now));
        let next = Period(now.0 + 1);
        assert!(
            lines.contains(&key.token("uid", next).as_str()),
            "before the operator goes on"
        );
        assert!(
            key.file("uid", next).contains(lines[0]),
            "and after the gateways did"
        );
        assert!(!key.file("uid", Period(now.0 + 2)).contains(lines[0]));
        assert!(lines.iter().all(|token| token.len() == 64));
    }

    #[test]
    fn users_of_nats_have_passwords_of_their_own_that_no_server_takes_for_a_number() {
        let key = TokenKey::new(b"a key of a test");
        let password = |uid, user| key.nats_password(uid, user);
        assert_ne!(password("a", "gateway"), password("a", "admin"));
        assert_ne!(password("a", "gateway"), password("b", "gateway"));
        assert_eq!(password("a", "gateway"), password("a", "gateway"), "it stays");
        assert!(password("a", "gateway").starts_with('n') && password("a", "gateway").len() == 65);
    }

    #[test]
    fn tokens_of_clusters_and_installations_are_their_own() {
        let (one, other) = (TokenKey::new(b"one"), TokenKey::new(b"other"));
        let now = Period(7);
        assert_ne!(one.token("a", now), one.token("b", now));
        assert_ne!(one.token("a", now), other.token("a", now));
        assert_eq!(
            one.token("a", now),
            TokenKey::new(b"one").token("a", now),
            "another operator computes the same"
        );
    }
}

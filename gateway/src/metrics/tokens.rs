//! Tokens of clients, and the keys that they are checked with.

use prometheus::IntCounterVec;

use super::family::{Registrar, count};
use crate::token::{Purpose, TokenError};

const ACCEPTED: &str = "accepted";
const FETCHED: &str = "fetched";
const FAILED: &str = "failed";

/// Tokens by what became of them.
#[derive(Clone, Debug)]
pub struct TokenMetrics {
    checked: IntCounterVec,
    fetches: IntCounterVec,
}

impl TokenMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let checked = registrar.counters(
            "natter_tokens_total",
            "Tokens of clients, by what they are for and what became of them",
            &["kind", "result"],
        )?;
        for purpose in Purpose::ALL {
            for result in [ACCEPTED]
                .into_iter()
                .chain(TokenError::ALL.map(TokenError::label))
            {
                checked.get_metric_with_label_values(&[purpose.label(), result])?;
            }
        }
        Ok(Self {
            checked,
            fetches: registrar.counters(
                "natter_jwks_fetches_total",
                "Requests for the public keys of those who sign tokens, by result",
                &["issuer", "result"],
            )?,
        })
    }

    /// A token was checked; `None`: it is accepted.
    pub fn checked(&self, purpose: Purpose, error: Option<TokenError>) {
        let result = error.map_or(ACCEPTED, TokenError::label);
        count(&self.checked, &[purpose.label(), result], 1);
    }

    /// `issuer` is a name of the configuration.
    pub fn fetched(&self, issuer: &str, succeeded: bool) {
        let result = if succeeded { FETCHED } else { FAILED };
        count(&self.fetches, &[issuer, result], 1);
    }
}

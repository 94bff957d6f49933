//! Control calls, as `docs/observability.md` describes them.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

/// From the request to the whole answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest part of an answer that an error shows.
const SHOWN: usize = 200;

/// A control call.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    State,
    Cordon,
    Uncordon,
    /// Connections a second.
    Drain {
        rate: f64,
    },
    Shed {
        connections: u64,
        rate: f64,
    },
}

/// What a gateway answers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of its own, as the gateway gives it"
)]
pub struct Said {
    pub config: Option<String>,
    /// Not said by gateways of 0.1 before it was there: a roll mixes two versions.
    #[serde(default)]
    pub config_error: Option<String>,
    pub cordoned: bool,
    pub draining: bool,
    /// Its process ends, which nothing takes back. As `config_error`.
    #[serde(default)]
    pub terminating: bool,
    pub empty: bool,
    pub connections: u64,
    pub connection_limit: u64,
    pub shedding: u64,
    /// A drain that was ordered.
    #[serde(default)]
    pub drain: Option<SaidDrain>,
    pub bus_up: bool,
    /// As `config_error`.
    #[serde(default)]
    pub namespaces: BTreeMap<String, String>,
    pub usage: Option<Usage>,
}

/// How a gateway drains.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct SaidDrain {
    /// Connections a second, if that was the order. As `config_error`.
    pub rate: Option<f64>,
}

/// What a gateway uses.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub memory_bytes: u64,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum CallError {
    #[error("the pod has no address")]
    NoAddress,
    #[error("cannot reach the gateway: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("the gateway answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("the gateway's answer is not understood: {0}")]
    NotUnderstood(#[from] serde_json::Error),
}

impl CallError {
    /// Whether the gateway does not accept the token, or has none.
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

/// Makes calls.
pub struct Client(reqwest::Client);

impl Client {
    pub fn new() -> Result<Self, CallError> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// Makes a call to `address`, a host and a port.
    pub async fn call(&self, address: &str, call: &Call, token: &str) -> Result<Said, CallError> {
        let url = format!("http://{address}/control/{}", call.name());
        let request = match call.body() {
            _ if *call == Call::State => self.0.get(url),
            Some(body) => self.0.post(url).body(body.to_string()),
            None => self.0.post(url),
        };
        let response = request.bearer_auth(token).send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            return Err(CallError::Refused {
                status: status.as_u16(),
                text: text.chars().take(SHOWN).collect(),
            });
        }
        Ok(serde_json::from_str(&text)?)
    }
}

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain { .. } => "drain",
            Self::Shed { .. } => "shed",
        }
    }

    fn body(&self) -> Option<Value> {
        match self {
            Self::State | Self::Cordon | Self::Uncordon => None,
            Self::Drain { rate } => Some(json!({ "rate": rate })),
            Self::Shed { connections, rate } => Some(json!({ "connections": connections, "rate": rate })),
        }
    }
}

//! The three doors through which messages come in, and what their answers mean.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::API_KEY;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::scene::Site;

/// Bound of an answer. A gateway gives up a publication after 5 s; a killed one never answers.
const ANSWER: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Socket,
    Api,
    Rest,
}

/// A door as one writer uses it.
pub(crate) struct Door {
    kind: Kind,
    http: reqwest::Client,
    /// The connection and the site that it leads to.
    socket: Option<(usize, Client)>,
}

/// One message.
#[derive(Clone, Copy)]
pub(crate) struct Letter<'a> {
    pub(crate) room: &'a str,
    pub(crate) id: &'a str,
    pub(crate) key: Option<&'a str>,
}

/// What a writer learns.
pub(crate) enum Answer {
    /// Stored, at this offset if the door tells.
    Stored(Option<u64>),
    /// Not stored, or perhaps: to be tried again.
    Unknown,
}

impl Door {
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            kind,
            http,
            socket: None,
        })
    }

    /// An error is an answer that must not be given, whatever happens: none in time among them.
    pub(crate) async fn store(&mut self, sites: &[Site], site: usize, letter: Letter<'_>) -> Result<Answer> {
        let gateway = &sites[site].gateway;
        let address = gateway.http_url();
        let answer = match self.kind {
            Kind::Socket => timeout(ANSWER, self.by_socket(&gateway.ws_url(), site, letter)).await,
            Kind::Api => timeout(ANSWER, self.by_api(&address, letter)).await,
            Kind::Rest => timeout(ANSWER, self.by_rest(&address, letter)).await,
        };
        let Ok(answer) = answer else {
            bail!(
                "{:?} at {site}: {} was not answered within {ANSWER:?}",
                self.kind,
                letter.id
            );
        };
        answer
    }

    async fn by_socket(&mut self, url: &str, site: usize, letter: Letter<'_>) -> Result<Answer> {
        // Whatever goes wrong with the connection, the outcome is unknown and the next try has a new one.
        let open = self.socket.take().filter(|(former, _)| *former == site);
        let mut client = match open {
            Some((_, client)) => client,
            None => match Client::connected(url, json!({})).await {
                Ok((client, _)) => client,
                Err(_) => return Ok(Answer::Unknown),
            },
        };
        client.set_limit(2 * ANSWER);
        let mut publish = json!({ "channel": letter.room, "data": data(letter) });
        if let Some(key) = letter.key {
            publish["idempotency_key"] = key.into();
        }
        let Ok(reply) = client.request(json!({ "publish": publish })).await else {
            return Ok(Answer::Unknown);
        };
        self.socket = Some((site, client));
        if reply.get("publish").is_some() {
            return Ok(Answer::Stored(None));
        }
        temporary(&reply["error"])
    }

    async fn by_api(&self, url: &str, letter: Letter<'_>) -> Result<Answer> {
        let mut body = json!({ "channel": letter.room, "data": data(letter) });
        if let Some(key) = letter.key {
            body["idempotency_key"] = key.into();
        }
        let request = self
            .http
            .post(format!("{url}/api/publish"))
            .header("x-api-key", API_KEY);
        let Some((status, body)) = answer(request.body(body.to_string())).await else {
            return Ok(Answer::Unknown);
        };
        ensure!(status == 200, "status {status}: {body}");
        match body["result"]["offset"].as_u64() {
            Some(offset) => Ok(Answer::Stored(Some(offset))),
            None => temporary(&body["error"]),
        }
    }

    async fn by_rest(&self, url: &str, letter: Letter<'_>) -> Result<Answer> {
        let url = format!("{url}/v1/rooms/{}/messages", letter.room);
        let mut request = self.http.post(url).header("x-api-key", API_KEY);
        if let Some(key) = letter.key {
            request = request.header("idempotency-key", key);
        }
        let Some((status, body)) = answer(request.body(json!({ "data": data(letter) }).to_string())).await
        else {
            return Ok(Answer::Unknown);
        };
        match (status, body["offset"].as_u64()) {
            (200 | 201, Some(offset)) => Ok(Answer::Stored(Some(offset))),
            (503 | 429, _) => Ok(Answer::Unknown),
            _ => bail!("status {status}: {body}"),
        }
    }
}

fn data(letter: Letter<'_>) -> Value {
    json!({ "id": letter.id, "text": "as long as what people say to each other in one go" })
}

/// `None` when the connection broke.
async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request
        .header("content-type", "application/json")
        .send()
        .await
        .ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

fn temporary(error: &Value) -> Result<Answer> {
    match error["code"].as_u64() {
        Some(100 | 111) => Ok(Answer::Unknown),
        _ => bail!("refused with {error}"),
    }
}

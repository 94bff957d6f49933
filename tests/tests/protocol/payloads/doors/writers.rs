//! Everybody who can say something in a room, and how each of them is answered.

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use reqwest::Client as Http;
use serde_json::Value;

use crate::payloads::bytes::{BytesClient, messages::Command};
use crate::scene::connected;

/// By whom something is said, and how it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    JsonClient,
    ProtobufClient,
    /// The server API.
    ApiData,
    ApiBase64,
    /// `/v1`.
    RestData,
    RestBase64,
    /// A backend, in place of what a client said.
    ProxyData,
    ProxyBase64,
}

pub(super) struct Writers<'a> {
    gateway: &'a Gateway,
    backend: Backend,
    json: Client,
    protobuf: BytesClient,
    http: Http,
    said: u32,
}

impl Writer {
    /// Of the name of a namespace in which it can say something.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::ProxyData | Self::ProxyBase64 => "judged-",
            _ => "",
        }
    }

    /// The members of an object that bring the data.
    fn members(self, said: &[u8]) -> Result<String> {
        Ok(match self {
            Self::ApiBase64 | Self::RestBase64 | Self::ProxyBase64 => {
                format!("\"b64data\":\"{}\"", BASE64_STANDARD.encode(said))
            }
            _ => format!("\"data\":{}", std::str::from_utf8(said)?),
        })
    }
}

impl<'a> Writers<'a> {
    pub(super) async fn new(gateway: &'a Gateway, backend: Backend) -> Result<Self> {
        Ok(Self {
            gateway,
            backend,
            json: connected(gateway).await?,
            protobuf: BytesClient::connected(gateway).await?,
            http: Http::builder().no_proxy().build()?,
            said: 0,
        })
    }

    /// Says it; gives the code of the refusal, or 0.
    pub(super) async fn say(&mut self, writer: Writer, room: &str, said: &[u8]) -> Result<u32> {
        match writer {
            Writer::ProtobufClient => {
                let reply = self.protobuf.request(Command::publish(room, said)).await?;
                Ok(reply.code())
            }
            Writer::JsonClient => self.by_json(room, &writer.members(said)?).await,
            Writer::ApiData | Writer::ApiBase64 => self.by_api(room, &writer.members(said)?).await,
            Writer::RestData | Writer::RestBase64 => self.by_rest(room, writer.members(said)?).await,
            Writer::ProxyData | Writer::ProxyBase64 => self.by_proxy(room, &writer.members(said)?).await,
        }
    }

    async fn by_json(&mut self, room: &str, members: &str) -> Result<u32> {
        self.said += 1;
        let id = 1_000 + self.said;
        let command = format!("{{\"id\":{id},\"publish\":{{\"channel\":\"{room}\",{members}}}}}");
        self.json.send_text(command).await?;
        code(&self.json.recv_where(|value| value["id"] == id).await?)
    }

    async fn by_api(&self, room: &str, members: &str) -> Result<u32> {
        let body = format!("{{\"channel\":\"{room}\",{members}}}");
        let (status, answer) = self.gateway.api_raw("publish", Some(API_KEY), body).await?;
        ensure!(status == 200, "{status}: {answer}");
        code(&serde_json::from_str(&answer)?)
    }

    async fn by_rest(&self, room: &str, members: String) -> Result<u32> {
        let url = format!("{}/v1/rooms/{room}/messages", self.gateway.http_url());
        let request = self.http.post(url).header("x-api-key", API_KEY);
        let answer = request.body(format!("{{{members}}}")).send().await?;
        let status = answer.status().as_u16();
        let code = code(&serde_json::from_str(&answer.text().await?)?)?;
        ensure!(
            status == if code == 0 { 201 } else { 400 },
            "{status} with {code}"
        );
        Ok(code)
    }

    /// A client says something else, and the backend this in its place.
    async fn by_proxy(&mut self, room: &str, members: &str) -> Result<u32> {
        let id = self.protobuf.send(Command::publish(room, b"\"else\"")).await?;
        let answer = format!("{{\"result\":{{{members}}}}}");
        self.backend.asked().await?.text(answer)?;
        Ok(self.protobuf.reply(id).await?.code())
    }
}

/// Of the error that a reply or an answer holds; 0 without one.
fn code(answer: &Value) -> Result<u32> {
    let Some(error) = answer.get("error") else {
        return Ok(0);
    };
    let code = error["code"].as_u64().with_context(|| answer.to_string())?;
    Ok(u32::try_from(code)?)
}

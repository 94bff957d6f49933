//! A conversation with gateways from outside, as two clients have it: what `helm test` and people ask, "does chat work?".
//!
//! Two sockets, so that a message crosses what users' messages cross: the way in, a gateway, the bus, perhaps another
//! gateway, and the way back. It speaks WebSocket without TLS, to the gateway itself.

mod connection;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use self::connection::{Connection, Refused};

/// The path of a gateway's socket unless the address names another path.
const PATH: &str = "/connection/websocket";

/// Before what was refused for the moment is asked again, as every SDK does.
const PAUSE: Duration = Duration::from_millis(200);

/// What to ask of whom.
#[derive(Args)]
pub struct Probe {
    /// Gateway or load balancer, `ws://host:8000`; a second one gets the second socket
    #[arg(long = "url", value_name = "URL", required = true, num_args = 1)]
    urls: Vec<Address>,
    /// Room to talk in; anybody in it sees one message
    #[arg(long, default_value = "natter-probe")]
    room: String,
    /// Header of the opening requests, for example 'X-User: probe' (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Time for everything
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    time_limit: Duration,
}

/// The address of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

#[derive(Debug, thiserror::Error)]
enum AddressError {
    #[error("not a URL")]
    NotUrl,
    #[error("scheme is not ws: a gateway is probed without TLS")]
    Scheme,
    #[error("there is no host in it")]
    Host,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::NotUrl)?;
        if uri.scheme_str() != Some("ws") {
            return Err(AddressError::Scheme);
        }
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or(AddressError::Host)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            // In a URL an IPv6 address stands in brackets.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: if path == "/" { PATH } else { path }.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(
            f,
            "ws://{}{}{}:{}{}",
            brackets.0, self.host, brackets.1, self.port, self.path
        )
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("not of the form NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "not the name of a header")?;
    let value = value.trim().parse().map_err(|_| "not the value of a header")?;
    Ok((name, value))
}

impl Probe {
    /// Has the conversation, saying each step on `out`; an error names the step that failed.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(async {
            let deadline = Instant::now() + self.time_limit;
            let mut step = Step {
                name: String::new(),
                refused: None,
                out,
            };
            let done = timeout_at(deadline, self.converse(&mut step)).await;
            done.with_context(|| {
                let limit = humantime::format_duration(self.time_limit);
                match &step.refused {
                    Some(refused) => format!("not within {limit}, last {refused}"),
                    None => format!("not within {limit}"),
                }
            })
            .flatten()
            .with_context(|| step.name)
        })
    }

    async fn converse(&self, step: &mut Step<'_, impl Write>) -> anyhow::Result<()> {
        let (first, last) = (
            self.urls.first().context("no URL")?,
            self.urls.last().context("no URL")?,
        );
        ensure!(self.urls.len() <= 2, "more than two URLs");
        let mut receiver = self.member(last, step).await?;
        let mut sender = self.member(first, step).await?;

        let data = json!({ "probe": Uuid::new_v4() });
        step.begin(format!("publish in {}", self.room));
        let began = Instant::now();
        let publish = json!({ "publish": { "channel": self.room, "data": data } });
        accepted(&mut sender, &publish, step).await?;
        step.end("accepted")?;

        step.begin("receive it at the other socket".to_owned());
        receiver.publication(&self.room, &data).await?;
        step.end(&format!("after {:.1} ms", began.elapsed().as_secs_f64() * 1e3))
            .map_err(Into::into)
    }

    /// A connected member of the room.
    async fn member(&self, address: &Address, step: &mut Step<'_, impl Write>) -> anyhow::Result<Connection> {
        step.begin(format!("connect to {address}"));
        let mut connection = Connection::open(address, &self.headers).await?;
        let reply = connection
            .request(&json!({ "connect": { "name": "natter-probe" } }))
            .await?;
        let client = reply["connect"]["client"]
            .as_str()
            .context("the reply names no client")?;
        step.end(&format!("client {client}"))?;

        step.begin(format!("join {}", self.room));
        let join = json!({ "subscribe": { "channel": self.room } });
        accepted(&mut connection, &join, step).await?;
        step.end("joined")?;
        Ok(connection)
    }
}

/// Asks until it is not refused for the moment only, as a bus that has just come up does.
async fn accepted(
    connection: &mut Connection,
    command: &Value,
    step: &mut Step<'_, impl Write>,
) -> anyhow::Result<()> {
    loop {
        let Err(error) = connection.request(command).await else {
            return Ok(());
        };
        match error.downcast_ref::<Refused>() {
            Some(refused) if refused.temporary => step.refused = Some(refused.to_string()),
            _ => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

/// The step that is being taken, for the output and for the error.
struct Step<'a, W> {
    name: String,
    /// Why it has not been accepted yet.
    refused: Option<String>,
    out: &'a mut W,
}

impl<W: Write> Step<'_, W> {
    fn begin(&mut self, name: String) {
        self.name = name;
        self.refused = None;
    }

    fn end(&mut self, result: &str) -> io::Result<()> {
        writeln!(self.out, "{}: {result}", self.name)
    }
}

//! The peers of this program and Bun deliver the frames of a gateway, byte for byte.

use std::{ffi::OsStr, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use natter_bench::server::{Args, Server};
use natter_tests::tools;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Four servers, one of which may have to be built.
const LIMIT: Duration = Duration::from_mins(20);
const DATA: &str = r#"{"due":"0","pad":"a } b \" é"}"#;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    server: Args,
}

async fn start(name: &str) -> Result<Server> {
    let gateway = tools::gateway().await?;
    let bench = env!("CARGO_BIN_EXE_natter-bench");
    let words = ["test", "--server", name, "--bench", bench, "--gateway"].map(OsStr::new);
    let cli = Cli::try_parse_from(words.into_iter().chain([gateway.as_os_str()]))?;
    Server::of(cli.server).await
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: String,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let (socket, _) = connect_async(format!("ws://{address}/connection/websocket")).await?;
        let mut client = Self {
            socket,
            id: String::new(),
        };
        let answer = client.call(r#"{"id":1,"connect":{"name":"bench"}}"#).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        let id = answer["connect"]["client"].as_str();
        id.context("no client id")?.clone_into(&mut client.id);
        Ok(client)
    }

    async fn call(&mut self, command: &str) -> Result<String> {
        self.socket.send(command.into()).await?;
        self.next().await
    }

    /// The next message, which is text.
    async fn next(&mut self) -> Result<String> {
        match self.socket.next().await.context("the connection ended")?? {
            Message::Text(text) => Ok(text.to_string()),
            other => bail!("not a text message: {other:?}"),
        }
    }
}

/// What a member gets of a publication by a socket and of one by HTTP, with the publisher's id made equal.
async fn deliveries(server: &Server) -> Result<[String; 2]> {
    let address = server.address(0);
    let mut member = Client::connect(address).await?;
    let joined = member.call(r#"{"id":2,"subscribe":{"channel":"room"}}"#).await?;
    assert_eq!(joined, r#"{"id":2,"subscribe":{}}"#);

    let mut publisher = Client::connect(address).await?;
    let publish = format!(r#"{{"id":3,"publish":{{"channel":"room","data":{DATA}}}}}"#);
    assert_eq!(publisher.call(&publish).await?, r#"{"id":3,"publish":{}}"#);
    let by_socket = member.next().await?;
    assert!(by_socket.contains(&publisher.id), "{by_socket}");

    post(server, &format!(r#"{{"channel":"room","data":{DATA}}}"#)).await?;
    Ok([by_socket.replace(&publisher.id, "id"), member.next().await?])
}

async fn post(server: &Server, body: &str) -> Result<()> {
    let (address, key, length) = (server.address(0), &server.api_key, body.len());
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(br#"{"result":{}}"#) {
        ensure!(
            stream.read_buf(&mut answer).await? > 0,
            "the publication was answered by {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(())
}

#[tokio::test]
async fn members_of_every_peer_get_the_frames_of_a_gateway() -> Result<()> {
    let compared = async {
        let expected = deliveries(&start("natter").await?).await?;
        for name in ["floor", "naive", "bun"] {
            assert_eq!(deliveries(&start(name).await?).await?, expected, "{name}");
        }
        Ok(())
    };
    timeout(LIMIT, compared).await?
}

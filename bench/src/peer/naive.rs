//! What anyone writes first: tokio with its default threads, tokio-tungstenite, and a broadcast channel for each room. Every
//! member's task receives a message and sends it with a flush of its own.

use std::{collections::HashMap, future::pending, net::SocketAddr, sync::Arc};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    select, spawn,
    sync::broadcast::{self, Receiver, Sender},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, Utf8Bytes},
};

use super::{
    announce, client_id,
    command::{Command, publication_by_http, push},
    request::{self, PUBLISHED, Request},
};

/// Messages that a member may be behind its room before it misses some, which the load reports.
const BEHIND: usize = 256;

/// What members of a room receive is shared, not copied.
type Rooms = Arc<Mutex<HashMap<String, Sender<Utf8Bytes>>>>;

/// Serves until the process is ended.
pub(super) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    Runtime::new()
        .context("cannot start the runtime")?
        .block_on(accept(listen))
}

async fn accept(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    announce(listener.local_addr()?);
    let rooms = Rooms::default();
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        let rooms = rooms.clone();
        spawn(async move {
            if let Err(error) = serve(stream, rooms).await {
                eprintln!("connection closed: {error:#}");
            }
        });
    }
}

async fn serve(stream: TcpStream, rooms: Rooms) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first == *b"P" {
        return requests(stream, &rooms).await;
    }
    Connection {
        socket: accept_async(stream).await?,
        client: client_id(),
        room: None,
        rooms,
    }
    .serve()
    .await
}

async fn requests(mut stream: TcpStream, rooms: &Rooms) -> anyhow::Result<()> {
    let mut input = Vec::new();
    while stream.read_buf(&mut input).await? > 0 {
        let mut rest = &input[..];
        while let Some(request) = request::take(&mut rest)? {
            let Request::Publish { body } = request else {
                continue;
            };
            let (room, data) = publication_by_http(body).context("no publication")?;
            publish(rooms, room, push(room, data, None));
            stream.write_all(PUBLISHED.as_bytes()).await?;
        }
        input = rest.to_vec();
    }
    Ok(())
}

fn publish(rooms: &Rooms, room: &str, push: String) {
    if let Some(room) = rooms.lock().get(room) {
        // A room whose members have left has nobody to receive it.
        let _ = room.send(push.into());
    }
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    client: String,
    /// A load joins one.
    room: Option<Receiver<Utf8Bytes>>,
    rooms: Rooms,
}

impl Connection {
    async fn serve(mut self) -> anyhow::Result<()> {
        loop {
            let next = async {
                match &mut self.room {
                    Some(room) => room.recv().await,
                    None => pending().await,
                }
            };
            select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.command(&text).await?,
                    Some(Ok(_)) => {}
                    // The client is gone.
                    Some(Err(_)) | None => return Ok(()),
                },
                push = next => {
                    let push = push.context("a member is too far behind its room")?;
                    self.socket.send(Message::Text(push)).await?;
                }
            }
        }
    }

    async fn command(&mut self, text: &str) -> anyhow::Result<()> {
        let command = Command::read(text).with_context(|| format!("a load does not send {text}"))?;
        match command {
            Command::Pong => return Ok(()),
            Command::Connect { .. } => {}
            Command::Join { room, .. } => {
                let mut rooms = self.rooms.lock();
                let room = rooms
                    .entry(room.to_owned())
                    .or_insert_with(|| broadcast::channel(BEHIND).0);
                self.room = Some(room.subscribe());
            }
            Command::Publish { room, data, .. } => {
                publish(&self.rooms, room, push(room, data, Some(&self.client)));
            }
        }
        let answer = command.answer(&self.client);
        self.socket.send(Message::Text(answer.into())).await?;
        Ok(())
    }
}

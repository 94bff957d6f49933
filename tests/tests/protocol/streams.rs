//! Server-sent events and HTTP streaming by hand, and requests that speak for them.

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use natter_tests::wire::Encoding;
use reqwest::{Client as Http, RequestBuilder, Response, Url, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::scene::{LIMIT, Scene};

/// The answer to a request that does not end, message by message.
pub(crate) struct Stream {
    response: Response,
    unread: Vec<u8>,
}

impl Stream {
    pub(crate) async fn open(request: RequestBuilder) -> Result<Self> {
        let response = timeout(LIMIT, request.send()).await??;
        ensure!(response.status() == 200, "{}", response.status());
        Ok(Self {
            response,
            unread: Vec::new(),
        })
    }

    pub(crate) async fn event_stream(scene: &Scene, command: &Value) -> Result<Self> {
        Self::open(Http::new().get(event_stream(scene, command)?)).await
    }

    pub(crate) async fn http_stream(scene: &Scene, commands: impl Into<reqwest::Body>) -> Result<Self> {
        let url = format!("{}/connection/http_stream", scene.gateway.http_url());
        Self::open(Http::new().post(url).body(commands)).await
    }

    /// How many bytes stand before the first message.
    async fn begins(&mut self) -> Result<usize> {
        loop {
            if let Some(begins) = self.unread.iter().position(|byte| *byte == b'{') {
                return Ok(begins);
            }
            let chunk = timeout(LIMIT, self.response.chunk()).await??;
            self.unread.extend_from_slice(&chunk.context("the stream ended")?);
        }
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = std::str::from_utf8(&line)?.trim();
                if !line.is_empty() && !line.starts_with(':') {
                    let text = line.strip_prefix("data: ").unwrap_or(line);
                    return serde_json::from_str(text)
                        .map(Some)
                        .with_context(|| line.to_owned());
                }
            } else {
                match timeout(LIMIT, self.response.chunk()).await?? {
                    Some(chunk) => self.unread.extend_from_slice(&chunk),
                    None => return Ok(None),
                }
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Result<Value> {
        self.next().await?.context("the stream ended")
    }
}

/// What a connect reply tells the client to name.
pub(crate) fn address(reply: &Value) -> Value {
    json!({ "session": reply["connect"]["session"], "node": reply["connect"]["node"] })
}

pub(crate) async fn emulate(scene: &Scene, address: &Value, data: &str) -> Result<u16> {
    let mut body = address.clone();
    body["data"] = data.into();
    post(&Http::new(), scene, Encoding::Json, body.to_string()).await
}

/// Sends the body of a request that speaks for a stream, and says what it is in; gives the status.
pub(crate) async fn post(
    http: &Http,
    scene: &Scene,
    encoding: Encoding,
    body: impl Into<reqwest::Body>,
) -> Result<u16> {
    let request = http
        .post(format!("{}/emulation", scene.gateway.http_url()))
        .header("content-type", encoding.media_type())
        .body(body);
    let answer = timeout(LIMIT, request.send()).await??;
    Ok(answer.status().as_u16())
}

fn event_stream(scene: &Scene, command: &Value) -> Result<Url> {
    let url = format!("{}/connection/sse", scene.gateway.http_url());
    Ok(Url::parse_with_params(
        &url,
        [("cf_connect", command.to_string())],
    )?)
}

pub(crate) fn connect() -> Value {
    json!({ "id": 1, "connect": {} })
}

#[tokio::test]
async fn both_streams_bring_what_requests_ask_for() -> Result<()> {
    let scene = Scene::open("").await?;
    let streams = [
        Stream::event_stream(&scene, &connect()).await?,
        Stream::http_stream(&scene, connect().to_string()).await?,
    ];
    for (mut stream, kind) in streams.into_iter().zip(["text/event-stream", "application/json"]) {
        let headers = stream.headers();
        let content_type = headers["content-type"].to_str()?;
        ensure!(content_type.starts_with(kind), "{content_type}");
        ensure!(headers["x-accel-buffering"] == "no", "{headers:?}");
        let cache = headers["cache-control"].to_str()?;
        ensure!(
            cache.contains("no-store") && cache.contains("no-transform"),
            "{cache}"
        );

        let reply = stream.message().await?;
        ensure!(reply["connect"]["pong"].is_null(), "{reply}");
        let address = address(&reply);
        let commands = "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":[1]}}";
        ensure!(emulate(&scene, &address, commands).await? == 204);
        ensure!(stream.message().await?["subscribe"].is_object());
        ensure!(stream.message().await?["publish"].is_object());
        ensure!(stream.message().await?["push"]["pub"]["data"] == json!([1]));
        ensure!(emulate(&scene, &address, "{\"id\":4,\"unsubscribe\":{\"channel\":\"a\"}}").await? == 204);
        ensure!(stream.message().await?["unsubscribe"].is_object());
    }
    scene.untroubled().await
}

/// As much as some proxies and browsers keep back before they hand on the beginning of a body.
#[tokio::test]
async fn the_first_message_comes_behind_two_kibibytes_of_nothing() -> Result<()> {
    const PADDING: usize = 2_048;
    let scene = Scene::open("").await?;
    let base = format!("{}/connection", scene.gateway.http_url());
    let http = Http::new();
    for (what, request) in [
        ("sse", http.get(event_stream(&scene, &connect())?)),
        ("uni_sse", http.get(format!("{base}/uni_sse"))),
        ("uni_sse, posted", http.post(format!("{base}/uni_sse")).body("{}")),
        (
            "http_stream",
            http.post(format!("{base}/http_stream"))
                .body(connect().to_string()),
        ),
        (
            "uni_http_stream",
            http.post(format!("{base}/uni_http_stream")).body("{}"),
        ),
    ] {
        let mut stream = Stream::open(request).await?;
        let begins = stream.begins().await?;
        let padding = std::str::from_utf8(&stream.unread[..begins])?;
        ensure!(begins >= PADDING, "{what}: {begins} bytes");
        // A comment and the name of the field, or blanks alone.
        let said = padding.trim_start_matches([':', ' ', '\n']).trim();
        ensure!(matches!(said, "" | "data:"), "{what}: {padding:?}");
        ensure!(stream.message().await?.to_string().contains("connect"), "{what}");
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_stream_says_why_it_ends() -> Result<()> {
    let scene = Scene::open("client: {user_id_header: x-user, anonymous: allow}\n").await?;
    let mut stream = Stream::http_stream(&scene, connect().to_string()).await?;
    let reply = stream.message().await?;
    ensure!(emulate(&scene, &address(&reply), "{\"id\":0,\"publish\":{}}").await? == 204);
    let end = stream.message().await?;
    let expected = json!({ "push": { "disconnect": { "code": 3501, "reason": "bad request" } } });
    ensure!(end == expected, "{end}");
    ensure!(stream.next().await?.is_none(), "it goes on");
    ensure!(emulate(&scene, &address(&reply), "{}").await? == 404);

    let request = Http::new().get(event_stream(&scene, &connect())?);
    let mut stream = Stream::open(request.header("x-user", "42")).await?;
    stream.message().await?;
    scene
        .gateway
        .api(
            "disconnect",
            &json!({ "user": "42", "disconnect": { "code": 4000, "reason": "go" } }),
        )
        .await?;
    let end = stream.message().await?;
    let expected = json!({ "push": { "disconnect": { "code": 4000, "reason": "go", "reconnect": true } } });
    ensure!(end == expected, "{end}");
    ensure!(stream.next().await?.is_none(), "it goes on");
    scene.untroubled().await
}

#[tokio::test]
async fn what_opens_no_stream_is_refused() -> Result<()> {
    let scene = Scene::open("").await?;
    let base = scene.gateway.http_url();
    for (method, path, status) in [
        ("POST", "/connection/sse", 405),
        ("GET", "/connection/http_stream", 405),
        ("GET", "/connection/sse", 400),
        ("GET", "/connection/sse?cf_connect=", 400),
        ("GET", "/emulation", 405),
    ] {
        let request = Http::new().request(method.parse()?, format!("{base}{path}"));
        let answer = timeout(LIMIT, request.send()).await??;
        ensure!(
            answer.status().as_u16() == status,
            "{method} {path}: {}",
            answer.status()
        );
    }
    // Text that is none is a command that is none.
    let bytes = Http::new().get(format!("{base}/connection/sse?cf_connect=%ff"));
    let mut stream = Stream::open(bytes).await?;
    let end = stream.message().await?;
    ensure!(end["push"]["disconnect"]["code"] == 3501, "{end}");
    scene.untroubled().await
}

#[tokio::test]
async fn pages_from_elsewhere_are_let_in_where_they_may() -> Result<()> {
    let scene = Scene::open("http: {allowed_origins: ['https://app.example']}\n").await?;
    let base = scene.gateway.http_url();
    for (origin, status) in [("https://app.example", 204), ("https://evil.example", 403)] {
        for path in [
            "/connection/sse",
            "/connection/http_stream",
            "/connection/uni_sse",
            "/connection/uni_http_stream",
            "/emulation",
        ] {
            let question = Http::new()
                .request("OPTIONS".parse()?, format!("{base}{path}"))
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "content-type");
            let answer = timeout(LIMIT, question.send()).await??;
            ensure!(answer.status().as_u16() == status, "{path}: {}", answer.status());
            let allowed = answer.headers().get("access-control-allow-origin");
            ensure!(allowed.is_some() == (status == 204), "{path}: {allowed:?}");
        }
        let url = format!("{base}/connection/http_stream");
        let request = Http::new()
            .post(url)
            .header("origin", origin)
            .body(connect().to_string());
        let answer = timeout(LIMIT, request.send()).await??;
        let is_let_in = answer.status() == 200;
        ensure!(is_let_in == (status == 204), "{origin}: {}", answer.status());
        let allowed = answer.headers().get("access-control-allow-origin");
        ensure!(allowed.is_some_and(|allowed| allowed == origin) == is_let_in);
    }
    scene.untroubled().await
}

/// A client that takes hardly anything: what it is sent stays with the gateway.
async fn deaf(scene: &Scene, request: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut client = socket.connect(scene.gateway.public()).await?;
    client.write_all(request.as_bytes()).await?;
    Ok(client)
}

#[tokio::test]
async fn who_answers_no_pings_and_takes_nothing_is_ended() -> Result<()> {
    let scene = Scene::open("client: {ping_interval: 2s, pong_timeout: 1s}\n").await?;
    let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"silent\"}}";
    let stream = format!(
        "POST /connection/http_stream HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n{commands}",
        commands.len()
    );
    let wanted = "%7B%22subs%22%3A%7B%22silent%22%3A%7B%7D%7D%7D";
    let one_way = format!(
        "GET /connection/uni_websocket?cf_connect={wanted} HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let watch = scene.watch().await?;
    let clients = [deaf(&scene, &stream).await?, deaf(&scene, &one_way).await?];
    eventually("both are in their room", LIMIT, async || {
        let rooms = scene.gateway.api("channels", &json!({})).await;
        let rooms = rooms.map_err(|error| format!("{error:#}"))?;
        let are_there = rooms["result"]["channels"]["silent"]["num_clients"] == 2;
        are_there.then_some(()).ok_or_else(|| rooms.to_string())
    })
    .await?;
    // Far more than the clients' buffers, and less than makes a slow reader.
    let request = json!({ "channel": "silent", "data": "x".repeat(60_000) });
    for _ in 0..12 {
        scene.gateway.api("publish", &request).await?;
    }
    watch
        .counted("natter_disconnects_total", &[("reason", "lost")], 2)
        .await?;
    drop(clients);
    scene.untroubled().await
}

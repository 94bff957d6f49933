//! Requests that speak for a stream: by whom, and what is none.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use natter_tests::raw::RawSocket;
use natter_tests::wire::{Encoding, Transport, Wire, emulation_request};
use reqwest::Client as Http;
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::streams::{Stream, address, connect, emulate, post};

/// The key is the only proof, and a sufficient one: the address is none, as requests of one client may come by others
/// than its stream (a pool of NAT addresses, IPv6 beside IPv4, several proxies), and strangers may share the client's.
#[tokio::test]
async fn nobody_speaks_for_a_stream_without_its_key() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut stream = Stream::http_stream(&scene, connect().to_string()).await?;
    let reply = stream.message().await?;
    let (client, node) = (&reply["connect"]["client"], &reply["connect"]["node"]);
    let session = reply["connect"]["session"].as_str().context("no session")?;
    ensure!(!session.contains(&client.as_str().context("no client")?.replace('-', "")));
    let watch = scene.watch().await?;
    let say = async |http: &Http, address: &Value, id: u32| {
        let mut body = address.clone();
        body["data"] = json!({ "id": id, "subscribe": { "channel": "a" } })
            .to_string()
            .into();
        post(http, &scene, Encoding::Json, body.to_string()).await
    };
    let here = Http::new();
    let elsewhere = Http::builder()
        .local_address(IpAddr::from([127, 0, 0, 2]))
        .build()?;
    let nobody = uuid();
    for address in [
        json!({ "session": client, "node": node }),
        json!({ "session": format!("0-{nobody}"), "node": node }),
        json!({ "session": "0-00000000000000000000000000000000", "node": node }),
        json!({ "session": "999999-", "node": node }),
        json!({ "session": "", "node": node }),
        json!({ "session": session, "node": nobody }),
        json!({ "session": session, "node": "" }),
    ] {
        ensure!(say(&here, &address, 2).await? == 404, "{address}");
        ensure!(say(&elsewhere, &address, 3).await? == 404, "{address}, elsewhere");
    }
    watch
        .counted("natter_emulation_requests_total", &[("result", "unknown")], 14)
        .await?;
    watch
        .counted("natter_commands_total", &[("command", "subscribe")], 0)
        .await?;
    // Nothing of that was heard.
    ensure!(say(&elsewhere, &address(&reply), 9).await? == 204);
    let answer = stream.message().await?;
    ensure!(answer == json!({ "id": 9, "subscribe": {} }), "{answer}");
    scene.untroubled().await
}

fn uuid() -> String {
    "5f0c1f0a7d6c4b0e9a1d2c3b4a596877".to_owned()
}

#[tokio::test]
async fn requests_that_are_none_are_refused() -> Result<()> {
    let scene = Scene::open("client: {message_size_limit: 2048}\n").await?;
    let http = Http::new();
    for mut stream in [
        Stream::event_stream(&scene, &connect()).await?,
        Stream::http_stream(&scene, connect().to_string()).await?,
    ] {
        let address = address(&stream.message().await?);
        for body in ["", "{", "[]", "7", "{\"session\":1}", "\u{fffd}"] {
            let status = post(&http, &scene, Encoding::Json, body).await?;
            ensure!(status == 400, "{body}: {status}");
        }
        ensure!(emulate(&scene, &address, &" ".repeat(2_049)).await? == 413);
        ensure!(post(&http, &scene, Encoding::Json, vec![b' '; 1 << 20]).await? == 413);
        let join = "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}";
        ensure!(
            emulate(&scene, &address, join).await? == 204,
            "it is the worse for it"
        );
        let answer = stream.message().await?;
        ensure!(answer == json!({ "id": 2, "subscribe": {} }), "{answer}");
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_protobuf_request_that_is_cut_off_says_nothing() -> Result<()> {
    let scene = Scene::open("").await?;
    let (mut wire, reply) = stream_of_protobuf(&scene).await?;
    let names = &reply["connect"];
    let said = Encoding::Protobuf.write(&[json!({ "id": 2, "subscribe": { "channel": "a" } })])?;
    let whole = emulation_request(Encoding::Protobuf, names, &said)?;
    let text = |name: &str| names[name].as_str().map(str::len).context("no name");
    // Each field is its number, its length and its bytes. What ends between two of them is whole, and names nobody.
    let node = 2 + text("node")?;
    let both = node + 2 + text("session")?;
    let watch = scene.watch().await?;
    let http = Http::new();
    for length in (0..whole.len()).filter(|length| *length != both) {
        let due = if length == 0 || length == node { 404 } else { 400 };
        let status = post(&http, &scene, Encoding::Protobuf, whole[..length].to_vec()).await?;
        ensure!(status == due, "{length} bytes: {status}");
    }
    watch.counted("natter_emulation_requests_total", &[], 2).await?;
    ensure!(post(&http, &scene, Encoding::Protobuf, whole).await? == 204);
    let answer = wire.recv().await?;
    ensure!(answer == Some(json!({ "id": 2, "subscribe": {} })), "{answer:?}");
    scene.untroubled().await
}

#[tokio::test]
async fn protobuf_requests_that_are_none_are_refused() -> Result<()> {
    let scene = Scene::open("").await?;
    let (mut wire, _) = stream_of_protobuf(&scene).await?;
    let bodies: [&[u8]; 9] = [
        b"\x08",
        b"\x08\x01",
        b"\x0a\x05n",
        b"\x0a\x01\xff",
        b"\x12\x02\xc3\x28",
        b"\x1a\xff\xff\xff\xff\x0f\x00",
        b"\x18\x07",
        &[0xff; 64],
        b"{\"session\":\"a\",\"node\":\"b\",\"data\":\"\"}",
    ];
    let http = Http::new();
    for body in bodies {
        let status = post(&http, &scene, Encoding::Protobuf, body).await?;
        ensure!(status == 400, "{body:?}: {status}");
    }
    let reply = wire.request(json!({ "subscribe": { "channel": "a" } })).await?;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    scene.untroubled().await
}

async fn stream_of_protobuf(scene: &Scene) -> Result<(Wire, Value)> {
    let gateway = scene.gateway.public();
    Wire::connect(gateway, Transport::HttpStream, Encoding::Protobuf, json!({})).await
}

/// Who guesses is told nothing new, counted by its address, and fills no log.
#[tokio::test]
async fn a_flood_of_requests_for_nobody_is_counted_and_bounded() -> Result<()> {
    const BAD: u32 = 2_000;
    let config = "api: {keys: [natter-tests], wrong_key_limit: 1}\n";
    let gateway = natter_tests::gateway::Gateway::builder()
        .config(config)
        .start()
        .await?;
    let http = Http::new();
    let url = format!("{}/emulation", gateway.http_url());
    let mut closed = 0;
    for number in 0..BAD {
        let body = match number % 2 {
            0 => json!({ "session": format!("0-{}", uuid()), "node": uuid(), "data": "" }).to_string(),
            _ => "no message".to_owned(),
        };
        let answer = http.post(&url).body(body).send().await?;
        let status = answer.status().as_u16();
        ensure!(status == if number % 2 == 0 { 404 } else { 400 }, "{status}");
        closed += u32::from(answer.headers().get("connection").is_some_and(|it| it == "close"));
    }
    ensure!(closed > 0, "connections go on for ever");
    let metrics = gateway.metrics().await?;
    for (family, label, value, expected) in [
        ("natter_emulation_requests_total", "result", "unknown", BAD / 2),
        ("natter_handshake_failures_total", "kind", "malformed", BAD / 2),
        ("natter_limited_total", "limit", "unknown_sessions", closed),
    ] {
        let counted = metrics.value(family, &[(label, value)]);
        ensure!(
            counted == Some(f64::from(expected)),
            "{family} {value}: {counted:?}"
        );
    }
    let told = |message: &str| {
        let lines = gateway.logs().into_iter();
        lines.filter(|line| line.message() == message).count()
    };
    for message in ["handshake failed", "a limit is reached"] {
        // 10 a second.
        let lines = told(message);
        ensure!((1..BAD as usize / 2).contains(&lines), "{message}: {lines} lines");
    }
    Ok(())
}

/// A body of a stranger takes places by what has arrived of it, and the oldest of them gives way.
#[tokio::test]
async fn bodies_that_do_not_end_make_room_and_are_cut() -> Result<()> {
    let config = "workers: 1\nhttp: {handshake_limit: 64, header_max_size: 16KiB, header_timeout: 1h}\n";
    let scene = Scene::open(config).await?;
    let watch = scene.watch().await?;
    let mut sockets = Vec::new();
    for path in ["/emulation", "/connection/http_stream", "/connection/uni_sse"] {
        for _ in 0..8 {
            let mut socket = RawSocket::connect(scene.gateway.public()).await?;
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n{{");
            socket.write(head.as_bytes()).await?;
            sockets.push(socket);
        }
    }
    // With what is announced they would be too many already: one of them is done without that any had to go.
    let mut last = sockets.pop().context("sockets")?;
    last.write(&vec![b'a'; 65_535]).await?;
    let answer = last.read_head().await?;
    ensure!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    watch
        .counted("natter_limited_total", &[("limit", "bodies")], 0)
        .await?;
    // Four places each: sixteen have room.
    let most = vec![b'a'; 61_440];
    for socket in &mut sockets {
        // The oldest may be gone.
        let _ = socket.write(&most).await;
    }
    watch
        .counted("natter_limited_total", &[("limit", "bodies")], 7)
        .await?;
    for socket in sockets.iter_mut().take(7) {
        // It is reset where it had sent more than was read.
        let answer = socket.read_to_end().await.unwrap_or_default();
        ensure!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    for socket in sockets.iter_mut().skip(7) {
        socket.write(&[b'a'; 4_095]).await?;
        // What opens a stream is judged in it.
        let answer = socket.read_head().await?;
        let is_answered = ["HTTP/1.1 400 ", "HTTP/1.1 200 "].map(|status| answer.starts_with(status));
        ensure!(is_answered.contains(&true), "{answer}");
    }
    scene.untroubled().await
}

/// Bodies and the heads of requests have bounds of their own: however many bodies there are, whoever comes comes in.
#[tokio::test]
async fn bodies_close_the_door_to_nobody() -> Result<()> {
    const MOST: usize = 64;
    let config = "workers: 1\nhttp: {handshake_limit: 64, header_timeout: 1h}\n";
    let scene = Scene::open(config).await?;
    let watch = scene.watch().await?;
    let mut comes = RawSocket::connect(scene.gateway.public()).await?;
    comes.write(b"GET /connection/websocket HTTP/1.1\r\n").await?;
    let mut sockets = Vec::new();
    for _ in 0..2 * MOST {
        let mut socket = RawSocket::connect(scene.gateway.public()).await?;
        // None of them is one of many sockets without a request.
        socket
            .write(b"GET /emulation HTTP/1.1\r\nHost: a\r\n\r\n")
            .await?;
        socket.read_head().await?;
        let head = "POST /emulation HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write(head.as_bytes()).await?;
        sockets.push(socket);
    }
    let given_way = i32::try_from(MOST)?;
    watch
        .counted("natter_limited_total", &[("limit", "bodies")], given_way)
        .await?;
    let rest = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    comes.write(rest.as_bytes()).await?;
    let answer = comes.read_head().await?;
    ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    watch
        .counted("natter_limited_total", &[("limit", "handshakes")], 0)
        .await?;
    drop(sockets);
    scene.untroubled().await
}

#[tokio::test]
async fn a_body_that_takes_longer_than_a_handshake_may_is_refused() -> Result<()> {
    // The time of a call of the server API is another.
    let scene = Scene::open("http: {header_timeout: 1s, request_timeout: 100ms}\n").await?;
    for path in ["/emulation", "/connection/http_stream"] {
        let watch = scene.watch().await?;
        let mut socket = RawSocket::connect(scene.gateway.public()).await?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{");
        socket.write(head.as_bytes()).await?;
        let answer = socket.read_head().await?;
        ensure!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        ensure!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        watch
            .counted("natter_handshake_failures_total", &[("kind", "timeout")], 1)
            .await?;
    }
    scene.untroubled().await
}

/// A page that is not told by CORS that it may read an answer sees a broken network in its place.
#[tokio::test]
async fn pages_from_elsewhere_see_why_they_are_refused() -> Result<()> {
    let scene = Scene::open(
        "http: {allowed_origins: ['https://app.example'], header_timeout: 1s}\n\
         client: {message_size_limit: 2048, connection_limit: 1}\n",
    )
    .await?;
    for (origin, is_told) in [("https://app.example", true), ("https://evil.example", false)] {
        for (path, rest, status) in [
            ("/emulation", "Content-Length: 1000000\r\n\r\n", "413"),
            ("/emulation", "Content-Length: 2\r\n\r\n{", "408"),
            ("/emulation", "Content-Length: 2\r\n\r\n[]", "400"),
            ("/emulation", "Transfer-Encoding: chunked\r\n\r\nno length", "400"),
            (
                "/connection/http_stream",
                "Content-Length: 1000000\r\n\r\n",
                "413",
            ),
            ("/connection/http_stream", "Content-Length: 2\r\n\r\n{", "408"),
            (
                "/connection/http_stream",
                "Transfer-Encoding: chunked\r\n\r\nno length",
                "400",
            ),
            ("/connection/http_stream", "Content-Length: 2\r\n\r\n{}", "503"),
        ] {
            let mut socket = RawSocket::connect(scene.gateway.public()).await?;
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{rest}");
            socket.write(request.as_bytes()).await?;
            let answer = socket.read_head().await?;
            let is_refused = !is_told && (path == "/emulation" || status == "503");
            let due = if is_refused { "403" } else { status };
            ensure!(answer.split(' ').nth(1) == Some(due), "{path} {rest}: {answer}");
            let allowed = answer.contains(&format!("access-control-allow-origin: {origin}\r\n"));
            ensure!(allowed == is_told, "{path} {rest}: {answer}");
        }
    }
    scene.untroubled().await
}

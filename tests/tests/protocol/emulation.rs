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

/// Bodies of strangers take places among the handshakes: more when they are larger, and never for longer.
#[tokio::test]
async fn bodies_that_do_not_end_make_room_and_are_cut() -> Result<()> {
    let config = "workers: 1\nhttp: {handshake_limit: 64, header_max_size: 16KiB, header_timeout: 1h}\n";
    let scene = Scene::open(config).await?;
    let watch = scene.watch().await?;
    let mut sockets = Vec::new();
    for path in ["/emulation", "/connection/http_stream", "/connection/uni_sse"] {
        // 64 KiB: four places each.
        for _ in 0..8 {
            let mut socket = RawSocket::connect(scene.gateway.public()).await?;
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n{{");
            socket.write(head.as_bytes()).await?;
            sockets.push(socket);
        }
    }
    // Sixteen have room.
    for socket in sockets.drain(..8) {
        let mut socket = socket;
        ensure!(socket.read_to_end().await?.is_empty());
    }
    watch
        .counted("natter_limited_total", &[("limit", "handshakes")], 8)
        .await?;
    drop(sockets);
    scene.untroubled().await
}

#[tokio::test]
async fn a_body_that_takes_longer_than_a_handshake_may_is_refused() -> Result<()> {
    let scene = Scene::open("http: {header_timeout: 300ms}\n").await?;
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

//! Streams whose client is heard through another gateway than the one that has the stream.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::gateway::{Gateway, GatewayBuilder};
use natter_tests::wait::eventually;
use natter_tests::wire::{Encoding, Transport, Wire};
use reqwest::Client as Http;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{LIMIT, builder, expect, member, metric, wait_bus, wait_names};
use crate::users;

/// How long the gateway of a stream is waited for, and what may come on top of it on a busy machine.
const SILENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(8));
/// Replies that may wait until the session takes no more commands.
const WAITING: usize = 256;

async fn pair(build: impl Fn(&str) -> GatewayBuilder) -> Result<(Gateway, Gateway)> {
    let (a, b) = tokio::try_join!(build("a").start(), build("b").start())?;
    for gateway in [&a, &b] {
        wait_bus(gateway, "up").await?;
        wait_names(gateway, &["a", "b"], LIMIT).await?;
    }
    Ok((a, b))
}

/// A stream, and what requests for it have to name.
async fn stream(gateway: &Gateway, transport: Transport) -> Result<(Wire, Value)> {
    let (wire, reply) = Wire::connect(gateway.public(), transport, Encoding::Json, json!({})).await?;
    let connected = &reply["connect"];
    Ok((
        wire,
        json!({ "session": connected["session"], "node": connected["node"] }),
    ))
}

/// Who says something, at an address of its own.
struct Speaker(Http);

impl Speaker {
    fn at(address: [u8; 4]) -> Result<Self> {
        let address = IpAddr::V4(Ipv4Addr::from(address));
        let http = Http::builder().no_proxy().timeout(LIMIT).local_address(address);
        Ok(Self(http.build()?))
    }

    fn new() -> Result<Self> {
        Self::at([127, 0, 0, 1])
    }

    /// Says commands in the name of a stream; gives the status of the answer.
    async fn say(&self, gateway: &Gateway, stream: &Value, commands: &[Value]) -> Result<u16> {
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        let mut body = stream.clone();
        body["data"] = lines.join("\n").into();
        let url = format!("{}/emulation", gateway.http_url());
        let answer = self.0.post(url).body(body.to_string()).send().await?;
        Ok(answer.status().as_u16())
    }
}

fn subscribe(id: u32) -> Value {
    json!({ "id": id, "subscribe": { "channel": format!("room-{id}") } })
}

async fn reply(stream: &mut Wire) -> Result<Value> {
    stream.recv().await?.context("the stream ended")
}

/// What became of the requests at a gateway so far: heard, unknown, busy, unreachable.
async fn counted(gateway: &Gateway) -> Result<[String; 4]> {
    let count = async |result| -> Result<String> {
        let labels = [("result", result)];
        let count = metric(gateway, "natter_emulation_requests_total", &labels).await?;
        Ok(count.to_string())
    };
    Ok([
        count("heard").await?,
        count("unknown").await?,
        count("busy").await?,
        count("unreachable").await?,
    ])
}

#[tokio::test]
async fn a_stream_is_heard_through_every_gateway() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = pair(|name| builder(name, &nats.url(), "")).await?;
    let mut member = member(&b, "room").await?;
    let speaker = Speaker::new()?;
    for transport in [Transport::Sse, Transport::HttpStream] {
        let (mut stream, name) = stream(&a, transport).await?;
        let commands = [
            json!({ "id": 2, "subscribe": { "channel": "room" } }),
            json!({ "id": 3, "publish": { "channel": "room", "data": "said" } }),
        ];
        ensure!(speaker.say(&b, &name, &commands).await? == 204);
        ensure!(reply(&mut stream).await?["subscribe"].is_object());
        ensure!(reply(&mut stream).await?["publish"].is_object());
        ensure!(reply(&mut stream).await?["push"]["pub"]["data"] == "said");
        expect(&mut member, "room", &json!("said")).await?;
        ensure!(speaker.say(&a, &name, &[subscribe(4)]).await? == 204);
        ensure!(reply(&mut stream).await?["id"] == 4);
    }
    assert_eq!(counted(&b).await?, ["2", "0", "0", "0"]);
    assert_eq!(counted(&a).await?, ["2", "0", "0", "0"]);
    Ok(())
}

#[tokio::test]
async fn nobody_speaks_through_another_gateway_without_the_key() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = pair(|name| builder(name, &nats.url(), "")).await?;
    let (mut stream_of_ann, ann) = stream(&a, Transport::Sse).await?;
    let (mut stream_of_bob, bob) = stream(&b, Transport::Sse).await?;
    let session = ann["session"].as_str().context("no session")?;
    let (worker, secret) = session.split_once('-').context("no worker")?;
    let nobody = "5f0c1f0a7d6c4b0e9a1d2c3b4a596877";
    let names = [
        json!({ "session": format!("{worker}-{nobody}"), "node": ann["node"] }),
        json!({ "session": format!("99-{secret}"), "node": ann["node"] }),
        json!({ "session": format!("{worker}-{}", "0".repeat(32)), "node": ann["node"] }),
        json!({ "session": bob["session"], "node": ann["node"] }),
        json!({ "session": "", "node": ann["node"] }),
        // The key is right, but its gateway is another one, or none.
        json!({ "session": session, "node": bob["node"] }),
        json!({ "session": session, "node": nobody }),
        json!({ "session": session, "node": "" }),
    ];
    let (near, far) = (Speaker::new()?, Speaker::at([127, 0, 0, 2])?);
    for name in &names {
        for speaker in [&near, &far] {
            let status = speaker.say(&b, name, &[subscribe(2)]).await?;
            ensure!(status == 404, "{name}: {status}");
        }
    }
    assert_eq!(counted(&b).await?, ["0", "16", "0", "0"]);
    // The key is the proof, wherever it comes from; and nothing of the rest was heard.
    ensure!(far.say(&b, &ann, &[subscribe(9)]).await? == 204);
    ensure!(near.say(&a, &bob, &[subscribe(9)]).await? == 204);
    for stream in [&mut stream_of_ann, &mut stream_of_bob] {
        let first = reply(stream).await?;
        ensure!(first["id"] == 9 && first["subscribe"].is_object(), "{first}");
    }
    Ok(())
}

fn signal(gateway: &Gateway, signal: Signal) -> Result<()> {
    let pid = i32::try_from(gateway.pid())?;
    kill_process(Pid::from_raw(pid).context("no process")?, signal)?;
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_not_waited_for_for_ever() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = pair(|name| builder(name, &nats.url(), "")).await?;
    let (mut halted, name) = stream(&a, Transport::HttpStream).await?;
    let (mut well, other) = stream(&b, Transport::HttpStream).await?;
    let speaker = Speaker::new()?;
    signal(&a, Signal::STOP)?;
    let asked = Instant::now();
    let commands = [subscribe(2)];
    let (status, heard) = tokio::join!(
        speaker.say(&b, &name, &commands),
        speaker.say(&b, &other, &commands)
    );
    let took = asked.elapsed();
    ensure!(status? == 503 && heard? == 204);
    ensure!(took >= SILENCE.0 && took < SILENCE.1, "{took:?}");
    ensure!(reply(&mut well).await?["id"] == 2, "others are served");
    assert_eq!(counted(&b).await?, ["1", "0", "0", "1"]);

    signal(&a, Signal::CONT)?;
    let commands = [subscribe(3)];
    eventually("it is heard again", LIMIT, async || {
        let status = speaker.say(&b, &name, &commands).await?;
        ensure!(status == 204, "{status}");
        Ok(())
    })
    .await?;
    halted.recv_where(|reply| reply["id"] == 3).await?;

    a.terminate()?;
    wait_names(&b, &["b"], LIMIT).await?;
    ensure!(
        speaker.say(&b, &name, &commands).await? == 404,
        "it has said farewell"
    );
    Ok(())
}

#[tokio::test]
async fn who_has_too_many_commands_waiting_is_told_so() -> Result<()> {
    let nats = users::server().start().await?;
    let mut backend = Backend::start().await?;
    let proxies = backend.proxies("");
    let (a, b) =
        pair(|name| builder(name, &nats.url(), &proxies).env("NATTER_CLIENT_RPC_PROXY", "backend")).await?;
    let (mut waiting, name) = stream(&a, Transport::Sse).await?;
    let (mut free, other) = stream(&a, Transport::Sse).await?;
    let speaker = Speaker::new()?;
    // The backend takes its time, and all that follows is answered behind its answer.
    let mut commands = vec![json!({ "id": 2, "rpc": { "method": "wait", "data": {} } })];
    commands.extend((3..WAITING + 2).map(|id| json!({ "id": id, "presence": { "channel": "room" } })));
    ensure!(speaker.say(&b, &name, &commands).await? == 204);
    let asked = backend.asked().await?;
    for gateway in [&a, &b] {
        ensure!(speaker.say(gateway, &name, &[subscribe(900)]).await? == 429);
    }
    ensure!(speaker.say(&b, &other, &[subscribe(2)]).await? == 204);
    ensure!(reply(&mut free).await?["id"] == 2, "others are served");

    asked.result(&json!({ "data": { "answer": 7 } }))?;
    for id in 2..WAITING + 2 {
        let reply = reply(&mut waiting).await?;
        ensure!(reply["id"] == id, "{reply} in place of {id}");
    }
    ensure!(speaker.say(&b, &name, &[subscribe(901)]).await? == 204);
    ensure!(
        reply(&mut waiting).await?["id"] == 901,
        "what was refused was not heard"
    );
    assert_eq!(counted(&a).await?, ["0", "0", "1", "0"]);
    assert_eq!(counted(&b).await?, ["3", "0", "1", "0"]);
    Ok(())
}

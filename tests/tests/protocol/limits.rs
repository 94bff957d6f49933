//! What a limit lets through, what it does with the rest, that it lets through again, and that it says so.

mod api;
mod connections;
mod floods;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::raw_member::PATH;
use crate::scene::{LIMIT, Scene, Watch, connected, member};
use crate::streams::{Stream, address, connect, emulate};

/// A client that an authenticating proxy vouches for.
async fn client_of(scene: &Scene, user: &str) -> Result<Client> {
    let mut request = scene.gateway.ws_url().into_client_request()?;
    request.headers_mut().insert("x-user", user.parse()?);
    let mut client = Client::open(request).await?;
    let reply = client.request(json!({ "connect": {} })).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    Ok(client)
}

const WITH_USERS: &str = "user_id_header: x-user, anonymous: allow";

/// Says the same so many times in one message; returns how often it was answered, and how often with 111.
async fn say_at_once(client: &mut Client, count: u32, command: &Value) -> Result<(u32, u32)> {
    let commands: Vec<_> = (0..count)
        .map(|number| {
            let mut command = command.clone();
            command["id"] = json!(1_000_000 + number);
            command
        })
        .collect();
    client.send_batch(&commands).await?;
    let (mut answered, mut refused) = (0, 0);
    for number in 0..count {
        let id = 1_000_000 + number;
        let reply = client.recv_where(|value| value["id"] == id).await?;
        match reply["error"]["code"].as_u64() {
            Some(111) => refused += 1,
            _ => answered += 1,
        }
    }
    Ok((answered, refused))
}

async fn counted(watch: &Watch<'_>, limit: &str, by: u32) -> Result<()> {
    watch
        .counted("natter_limited_total", &[("limit", limit)], by.cast_signed())
        .await?;
    watch
        .logged("INFO", "a limit is reached", &[("limit", json!(limit))])
        .await?;
    Ok(())
}

/// A rate of 1 lets 2 through at once, and a few more if this machine takes seconds for one message.
fn is_about_two(answered: u32) -> bool {
    (2..=6).contains(&answered)
}

fn publish() -> Value {
    json!({ "publish": { "channel": "room", "data": 1 } })
}

/// Publishing works again without anybody's doing.
async fn recovers(client: &mut Client, command: Value) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let reply = client.request(command.clone()).await?;
        if reply["error"]["code"] != 111 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it is refused for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn too_many_commands_are_answered_later() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {commands: 150, reads: 0}}").await?;
    let watch = scene.watch().await?;
    let began = Instant::now();
    let mut client = connected(&scene.gateway).await?;
    let command = json!({ "presence_stats": { "channel": "room" } });
    let (answered, refused) = say_at_once(&mut client, 450, &command).await?;
    ensure!((answered, refused) == (450, 0), "{refused} are lost");
    // 300 were there, and 452 with connect and this one take one second more at least.
    client.request(command).await?;
    let took = began.elapsed();
    ensure!(took >= Duration::from_millis(950), "answered after {took:?}");
    let fields = [("limit", json!("commands"))];
    watch.logged("INFO", "a limit is reached", &fields).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn pings_of_the_websocket_are_commands_too() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {commands: 150}}").await?;
    let mut socket = RawSocket::upgraded(scene.gateway.public(), PATH).await?;
    let watch = scene.watch().await?;
    let pings = [Frame::new(9, "a").encode(), Frame::new(10, "").encode()].concat();
    socket.write(&pings.repeat(400)).await?;
    for _ in 0..400 {
        let (opcode, payload) = socket.read_frame().await?;
        ensure!(
            (opcode, payload.as_slice()) == (10, &b"a"[..]),
            "{opcode} {payload:?}"
        );
    }
    let fields = [("limit", json!("commands"))];
    watch.logged("INFO", "a limit is reached", &fields).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn who_never_stops_is_closed_when_its_pong_is_overdue() -> Result<()> {
    let config = "client: {rate_limit: {user_commands: 1}, user_id_header: x-user, anonymous: allow, ping_interval: 1s, pong_timeout: 300ms}";
    let scene = Scene::open(config).await?;
    let mut client = client_of(&scene, "flood").await?;
    let watch = scene.watch().await?;
    say_at_once(
        &mut client,
        200,
        &json!({ "presence_stats": { "channel": "room" } }),
    )
    .await?;
    let (code, reason) = client.close_frame().await?;
    ensure!(
        (code, reason.as_str()) == (3013, "too many requests"),
        "{code} {reason}"
    );
    watch.cut("too_many_requests", 3013).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn what_clients_of_streams_say_too_fast_is_to_be_said_again() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {commands: 150}}").await?;
    let mut stream = Stream::http_stream(&scene, connect().to_string()).await?;
    let address = address(&stream.message().await?);
    let watch = scene.watch().await?;
    let command = "{\"id\":7,\"presence_stats\":{\"channel\":\"room\"}}\n";
    let status = emulate(&scene, &address, command.repeat(1_200).trim_end()).await?;
    ensure!(status == 204, "{status}");
    let status = emulate(&scene, &address, command.trim_end()).await?;
    ensure!(status == 429, "{status}");
    counted(&watch, "commands", 1).await?;
    eventually("it is heard again", LIMIT, async || {
        let status = emulate(&scene, &address, command.trim_end()).await?;
        ensure!(status == 204, "{status}");
        anyhow::Ok(())
    })
    .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn publications_of_a_connection() -> Result<()> {
    let config = format!("client: {{rate_limit: {{user_publications: 1}}, {WITH_USERS}}}");
    let scene = Scene::open(&config).await?;
    let watch = scene.watch().await?;
    let (mut one, mut other) = (client_of(&scene, "ann").await?, client_of(&scene, "ann").await?);
    let (first, refused_first) = say_at_once(&mut one, 20, &publish()).await?;
    let (second, refused_second) = say_at_once(&mut other, 20, &publish()).await?;
    ensure!(is_about_two(first + second), "{first} and {second}");
    counted(&watch, "user_publications", refused_first + refused_second).await?;
    let (of_ben, _) = say_at_once(&mut client_of(&scene, "ben").await?, 2, &publish()).await?;
    ensure!(of_ben == 2, "others are refused");
    recovers(&mut one, publish()).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn publications_of_each_connection_and_room() -> Result<()> {
    // The one who only chats says a hundred a second.
    let rooms =
        "rooms: {namespaces: [{name: slow, publish: anyone, subscribe: anyone, publication_rate: 1}]}";
    let scene = Scene::open(&format!("client: {{rate_limit: {{publications: 200}}}}\n{rooms}")).await?;
    let mut client = connected(&scene.gateway).await?;

    let watch = scene.watch().await?;
    let (answered, refused) = say_at_once(&mut client, 1_000, &publish()).await?;
    ensure!((400..1_000).contains(&answered), "{answered}");
    counted(&watch, "publications", refused).await?;
    let labels = [("reason", "too_many_requests"), ("room_namespace", "default")];
    watch
        .counted(
            "natter_publications_refused_total",
            &labels,
            refused.cast_signed(),
        )
        .await?;
    recovers(&mut client, publish()).await?;

    let watch = scene.watch().await?;
    let slow = json!({ "publish": { "channel": "slow:a", "data": 1 } });
    let mut others = [connected(&scene.gateway).await?, connected(&scene.gateway).await?];
    let (first, refused_first) = say_at_once(&mut others[0], 20, &slow).await?;
    let (second, refused_second) = say_at_once(&mut others[1], 20, &slow).await?;
    ensure!(is_about_two(first + second), "{first} and {second}");
    counted(&watch, "room_publications", refused_first + refused_second).await?;
    let elsewhere = json!({ "publish": { "channel": "slow:b", "data": 1 } });
    let (elsewhere, _) = say_at_once(&mut others[0], 2, &elsewhere).await?;
    ensure!(elsewhere == 2, "another room is refused");
    // The server API is never refused, but what it says counts where somebody listens.
    let request = json!({ "channel": "slow:a", "data": 1 });
    ensure!(
        scene
            .gateway
            .api("publish", &request)
            .await?
            .get("result")
            .is_some()
    );
    recovers(&mut others[1], slow).await?;
    scene.untroubled().await
}

/// Only what may be said uses up what a room takes.
#[tokio::test]
async fn whoever_may_not_publish_takes_nothing_from_a_rooms_rate() -> Result<()> {
    let rooms =
        "rooms: {namespaces: [{name: slow, publish: subscribers, subscribe: anyone, publication_rate: 1}]}";
    let scene = Scene::open(rooms).await?;
    let mut there = member(&scene.gateway, "slow:a").await?;
    let mut stranger = connected(&scene.gateway).await?;
    let say = json!({ "publish": { "channel": "slow:a", "data": 1 } });
    for _ in 0..20 {
        let reply = stranger.request(say.clone()).await?;
        ensure!(reply["error"]["code"] == 103, "{reply}");
    }
    let (answered, _) = say_at_once(&mut there, 2, &say).await?;
    ensure!(answered == 2, "{answered}");
    scene.untroubled().await
}

#[tokio::test]
async fn what_the_server_api_says_in_a_room_counts() -> Result<()> {
    let rooms =
        "rooms: {namespaces: [{name: slow, publish: anyone, subscribe: anyone, publication_rate: 1}]}";
    let scene = Scene::open(rooms).await?;
    let mut client = connected(&scene.gateway).await?;
    client
        .request(json!({ "subscribe": { "channel": "slow:a" } }))
        .await?;
    let told = json!({ "channels": vec!["slow:a"; 100], "data": 1 });
    scene.gateway.api("broadcast", &told).await?;
    for _ in 0..100 {
        client.recv_where(|value| value.get("push").is_some()).await?;
    }
    let say = json!({ "publish": { "channel": "slow:a", "data": 1 } });
    let (answered, refused) = say_at_once(&mut client, 10, &say).await?;
    ensure!(answered <= 4 && refused >= 6, "{answered} {refused}");
    recovers(&mut client, say).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn reads_of_connections_and_users() -> Result<()> {
    let config = format!(
        "client: {{rate_limit: {{reads: 1, user_reads: 1}}, {WITH_USERS}}}
rooms: {{default: {{presence: true, presence_read: anyone, history: {{read: anyone}}}}}}"
    );
    let scene = Scene::open(&config).await?;
    let ask = |method: &str| json!({ method: { "channel": "room" } });
    let watch = scene.watch().await?;
    let mut nobody = connected(&scene.gateway).await?;
    let mut all = (0, 0);
    for method in ["presence", "presence_stats", "history"] {
        let (answered, refused) = say_at_once(&mut nobody, 10, &ask(method)).await?;
        all = (all.0 + answered, all.1 + refused);
    }
    ensure!(is_about_two(all.0), "{all:?}");
    counted(&watch, "reads", all.1).await?;
    recovers(&mut nobody, ask("history")).await?;

    let watch = scene.watch().await?;
    let mut of_user = 0;
    for _ in 0..5 {
        let mut ann = client_of(&scene, "ann").await?;
        of_user += say_at_once(&mut ann, 2, &ask("presence")).await?.0;
    }
    ensure!(is_about_two(of_user), "{of_user}");
    watch
        .logged("INFO", "a limit is reached", &[("limit", json!("user_reads"))])
        .await?;
    scene.untroubled().await
}

/// As many as there are rooms that a connection may be in; all of these come in one message.
#[tokio::test]
async fn reads_that_are_open_are_bounded() -> Result<()> {
    let scene = Scene::open("rooms: {default: {history: {read: anyone}}}").await?;
    let watch = scene.watch().await?;
    let mut client = connected(&scene.gateway).await?;
    let ask = json!({ "history": { "channel": "room", "limit": 10 } });
    let counts = say_at_once(&mut client, 200, &ask).await?;
    ensure!(counts == (128, 72), "{counts:?}");
    counted(&watch, "open_reads", 72).await?;
    // They are open no more.
    let counts = say_at_once(&mut client, 100, &ask).await?;
    ensure!(counts == (100, 0), "{counts:?}");
    scene.untroubled().await
}

/// A reload changes what holds for those who are there.
#[tokio::test]
async fn a_reload_changes_the_rates_of_those_who_are_there() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {publications: 200}}").await?;
    let mut client = connected(&scene.gateway).await?;
    let (_, refused) = say_at_once(&mut client, 1_000, &publish()).await?;
    ensure!(refused > 0, "nothing is refused");
    scene.gateway.write_config("api: {keys: [natter-tests]}")?;
    scene.gateway.reload()?;
    eventually("the new rate holds", LIMIT, async || {
        let metrics = scene.gateway.metrics().await?;
        let reloads = metrics.value("natter_config_reloads_total", &[("result", "applied")]);
        ensure!(reloads.is_some_and(|count| count >= 1.0), "{reloads:?}");
        anyhow::Ok(())
    })
    .await?;
    let (answered, _) = say_at_once(&mut client, 1_000, &publish()).await?;
    ensure!(answered == 1_000, "{answered}");
    scene.untroubled().await
}

/// Ten lines a second, and one that says how many were left out.
#[tokio::test]
async fn a_flood_of_refusals_leaves_a_bounded_log() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {publications: 200, commands: 0}}").await?;
    let mut client = connected(&scene.gateway).await?;
    let (began, lines) = (Instant::now(), scene.gateway.logs().len());
    let mut refused = 0;
    for _ in 0..10 {
        refused += say_at_once(&mut client, 1_000, &publish()).await?.1;
    }
    let seconds = began.elapsed().as_secs() + 2;
    ensure!(refused > 5_000, "{refused}");
    let of_limits = |line: &natter_tests::gateway::LogLine| line.message() == "a limit is reached";
    let logged = scene
        .gateway
        .logs()
        .iter()
        .skip(lines)
        .filter(|line| of_limits(line))
        .count();
    let most = usize::try_from(10 * seconds).context("seconds")?;
    ensure!(logged <= most, "{logged} lines in {seconds} s");
    scene.untroubled().await
}

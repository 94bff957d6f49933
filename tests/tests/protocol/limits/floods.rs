//! All floods at once beside somebody who chats, as `natter-bench abuse` measures them, small enough for every run.

use anyhow::{Result, ensure};
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::json;

use super::say_at_once;
use crate::raw_member::PATH;
use crate::scene::{LIMIT, Scene, connected};

const CONFIG: &str = "
workers: 1
http: {handshake_limit: 64, header_timeout: 5s}
client: {rate_limit: {commands: 200}, queue_max_size: 64KiB}
rooms: {namespaces: [{name: loud, subscribe: anyone, publish: anyone, publication_rate: 100}]}
";

#[tokio::test]
async fn floods_of_every_kind_at_once_trouble_nobody_else() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let address = scene.gateway.public();
    // Half a handshake, and headers that never end.
    let mut half_open = Vec::new();
    for _ in 0..100 {
        let mut socket = RawSocket::connect(address).await?;
        socket.write(b"GET / HTTP/1.1\r\nX-Slow: ").await?;
        half_open.push(socket);
    }
    // Bodies that never end.
    let mut bodies = Vec::new();
    for _ in 0..100 {
        let mut socket = RawSocket::connect(address).await?;
        let head = b"POST /emulation HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        socket.write(head).await?;
        bodies.push(socket);
    }
    // Members that never read.
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let mut socket = RawSocket::upgraded(address, PATH).await?;
        let join = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"loud:a\"}}";
        socket.write_frame(&Frame::text(join)).await?;
        deaf.push(socket);
    }
    // Pings and commands without end, whose sockets are not read any more after a while.
    let pings = Frame::new(9, "a").encode().repeat(2_000);
    let mut pinging = RawSocket::upgraded(address, PATH).await?;
    pinging.write(&pings).await?;
    // One that says ten times as much as the room takes.
    let mut loud = connected(&scene.gateway).await?;
    let say = json!({ "publish": { "channel": "loud:a", "data": "x".repeat(150) } });
    let mut refused = 0;
    for _ in 0..4 {
        refused += say_at_once(&mut loud, 250, &say).await?.1;
    }
    ensure!(refused >= 200, "{refused}");

    eventually("each is counted by its name", LIMIT, async || {
        let metrics = scene.gateway.metrics().await?;
        let limited = |limit| {
            metrics
                .value("natter_limited_total", &[("limit", limit)])
                .unwrap_or(0.0)
        };
        ensure!(limited("commands") >= 1.0, "commands");
        ensure!(limited("handshakes") >= 30.0, "handshakes");
        ensure!(limited("bodies") >= 30.0, "bodies");
        ensure!(limited("room_publications") >= 200.0, "publications");
        let timeout = metrics.value("natter_handshake_failures_total", &[("kind", "timeout")]);
        ensure!(
            timeout.is_some_and(|count| count >= 1.0),
            "time limit of handshakes"
        );
        anyhow::Ok(())
    })
    .await?;
    drop((half_open, bodies, deaf, pinging));
    scene.untroubled().await
}

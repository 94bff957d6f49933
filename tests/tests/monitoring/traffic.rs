//! Everything that gateways count, made to happen once.

use anyhow::{Result, ensure};
use natter_gateway::bus::Subjects;
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::scene::{JOBS, LIMIT, PREFIX, Scene, configuration, connect, member};

/// Nearly the largest message.
const LARGE: usize = 60 * 1024;

/// What users do on a good day, then on a bad one. The members given back are there to stay.
pub(crate) async fn drive(scene: &mut Scene) -> Result<Vec<Client>> {
    questions(&scene.gateways[0], &mut scene.backend).await?;
    let scene = &*scene;
    let [a, b] = &scene.gateways;
    conversation(a, b).await?;
    meeting(a, b).await?;
    recovery(a).await?;
    mistakes(a).await?;
    slow_reader(a).await?;
    full_history(scene).await?;
    strangers(scene).await?;
    outage(scene).await?;
    a.write_config(&(configuration("a", &scene.nats, &scene.backend) + "log: { level: debug }\n"))?;
    a.reload()?;
    conversation(a, b).await?;
    let stays = [(a, "lobby"), (b, "log:book")];
    let mut members = Vec::new();
    for (gateway, room) in stays {
        members.push(member(gateway, room).await?.0);
    }
    Ok(members)
}

async fn publish(gateway: &Gateway, room: &str, data: &Value) -> Result<Value> {
    gateway
        .api("publish", &json!({ "channel": room, "data": data }))
        .await
}

/// Members of two gateways hear each other in every kind of room.
async fn conversation(a: &Gateway, b: &Gateway) -> Result<()> {
    for room in ["lobby", "log:book", "local:room"] {
        let (mut ann, _) = member(a, room).await?;
        let (mut bob, _) = member(b, room).await?;
        for number in 0..20 {
            let said = ann
                .request(json!({ "publish": { "channel": room, "data": number } }))
                .await?;
            ensure!(said.get("error").is_none(), "{said}");
            ensure!(
                bob.push().await?["pub"]["data"] == number,
                "{room}: {number} was due"
            );
        }
        ann.close().await?;
        bob.close().await?;
    }
    Ok(())
}

/// A backend answers a client, and then does not.
async fn questions(gateway: &Gateway, backend: &mut Backend) -> Result<()> {
    let mut client = connect(gateway).await?;
    let command = json!({ "id": 10, "rpc": { "method": "read" } });
    client.send(&command).await?;
    backend.asked().await?.result(&json!({ "data": 1 }))?;
    let reply = client.recv_where(|reply| reply["id"] == 10).await?;
    ensure!(reply["rpc"]["data"] == 1, "{reply}");
    client.send(&command).await?;
    drop(backend.asked().await?);
    let reply = client.recv_where(|reply| reply["id"] == 10).await?;
    ensure!(reply["error"]["code"] == 100, "{reply}");
    Ok(())
}

/// One member sees another come to another gateway, and leave.
async fn meeting(a: &Gateway, b: &Gateway) -> Result<()> {
    const ROOM: &str = "meeting:room";
    let (mut ann, _) = member(a, ROOM).await?;
    let (bob, _) = member(b, ROOM).await?;
    // Its own, and the other's: one that leaves before it was told of is not mentioned.
    for _ in 0..2 {
        ann.recv_where(|push| push["push"]["join"].is_object()).await?;
    }
    let read = json!({ "presence": { "channel": ROOM } });
    let present = ann.request(read).await?;
    let members = present["presence"]["presence"]
        .as_object()
        .map(serde_json::Map::len);
    ensure!(members == Some(2), "{present}");
    bob.close().await?;
    ann.recv_where(|push| push["push"]["leave"].is_object()).await?;
    Ok(())
}

/// A client comes back twice: to what is still there, and from an epoch that is gone.
async fn recovery(gateway: &Gateway) -> Result<()> {
    let (client, joined) = member(gateway, "log:recovery").await?;
    client.close().await?;
    publish(gateway, "log:recovery", &json!("missed")).await?;
    for (epoch, recovered) in [(joined["epoch"].clone(), true), ("gone".into(), false)] {
        let mut client = connect(gateway).await?;
        let back =
            json!({ "channel": "log:recovery", "recover": true, "epoch": epoch, "offset": joined["offset"] });
        let reply = client.request(json!({ "subscribe": back })).await?;
        ensure!(
            reply["subscribe"]["recovered"].as_bool().unwrap_or(false) == recovered,
            "{reply}"
        );
    }
    Ok(())
}

/// A room that nobody may join, presence that nobody keeps, and bytes that are no command.
async fn mistakes(gateway: &Gateway) -> Result<()> {
    let mut client = connect(gateway).await?;
    for command in [
        json!({ "subscribe": { "channel": "unknown:room" } }),
        json!({ "presence": { "channel": "lobby" } }),
    ] {
        let reply = client.request(command).await?;
        ensure!(reply.get("error").is_some(), "{reply}");
    }
    client.send_text("garbage").await?;
    let (code, _) = client.close_frame().await?;
    ensure!(code == 3501, "{code}");
    Ok(())
}

/// A member that does not read is cut.
async fn slow_reader(gateway: &Gateway) -> Result<()> {
    let mut slow = RawSocket::upgraded(gateway.public(), "/connection/websocket").await?;
    let join = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"busy\"}}";
    slow.write_frame(&Frame::text(join)).await?;
    for _ in 0..2 {
        slow.read_frame().await?;
    }
    let text = json!("x".repeat(LARGE));
    eventually("the slow reader is cut", LIMIT, async || {
        publish(gateway, "busy", &text).await?;
        let cut = gateway
            .metrics()
            .await?
            .value("natter_disconnects_total", &[("reason", "slow")]);
        ensure!(cut > Some(0.5), "{cut:?}");
        anyhow::Ok(())
    })
    .await
}

/// A stream takes no more, and says so until it is an alert.
async fn full_history(scene: &Scene) -> Result<()> {
    let [gateway, _] = &scene.gateways;
    let text = json!("x".repeat(LARGE));
    eventually("a full history is an alert", LIMIT, async || {
        publish(gateway, "tight:room", &text).await?;
        let firing = scene
            .prometheus
            .query("ALERTS{alertname=\"NatterHistoryFull\", alertstate=\"firing\"}")
            .await?;
        ensure!(firing.len() == JOBS, "{firing:?}");
        anyhow::Ok(())
    })
    .await
}

/// Somebody writes to NATS what no gateway would.
async fn strangers(scene: &Scene) -> Result<()> {
    let stranger = async_nats::connect(scene.nats.url()).await?;
    stranger
        .publish(Subjects::new(PREFIX).control_all(), "garbage".into())
        .await?;
    stranger.flush().await?;
    scene
        .scraped(
            "natter_bus_errors_total{kind=\"undecodable\"}",
            JOBS * scene.gateways.len(),
        )
        .await
}

/// NATS dies and comes back; meanwhile joins and publications are refused, and a degraded room goes on.
async fn outage(scene: &Scene) -> Result<()> {
    let [a, _] = &scene.gateways;
    let (mut client, _) = member(a, "local:room").await?;
    scene.nats.kill()?;
    scene.wait_bus("down").await?;
    for (command, refused) in [
        (
            json!({ "publish": { "channel": "local:room", "data": 1 } }),
            false,
        ),
        (json!({ "publish": { "channel": "lobby", "data": 1 } }), true),
        (json!({ "subscribe": { "channel": "new" } }), true),
    ] {
        let reply = client.request(command.clone()).await?;
        ensure!(reply.get("error").is_some() == refused, "{command}: {reply}");
    }
    scene
        .scraped("natter_joins_total{result=\"refused\"} > 0", JOBS)
        .await?;
    scene.nats.restart().await?;
    scene.wait_bus("up").await
}

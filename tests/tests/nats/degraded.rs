//! Rooms that go on among the members of each gateway while NATS is away, when their namespace says so.

use anyhow::{Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{
    LIMIT, PREFIX, builder, connect, done, expect, is_temporary, member, metric, publish, wait_bus,
};
use crate::users;

const ROOMS: &str = "rooms:
  namespaces:
    - { name: local, subscribe: anyone, publish: anyone, degraded: local }
    - { name: strict, subscribe: anyone, publish: anyone }
    - { name: kept, subscribe: anyone, publish: anyone, history: {} }
";

async fn gateway(name: &str, nats: &str) -> Result<Gateway> {
    builder(name, nats, ROOMS).start().await
}

#[tokio::test]
async fn members_of_one_gateway_go_on_and_meet_the_others_again() -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let url = nats.url();
    let (a, b) = tokio::try_join!(gateway("a", &url), gateway("b", &url))?;
    for gateway in [&a, &b] {
        wait_bus(gateway, "up").await?;
    }
    let (mut ann, mut abe, mut bob) = tokio::try_join!(
        member(&a, "local:room"),
        member(&a, "local:room"),
        member(&b, "local:room")
    )?;
    publish(&mut ann, "local:room", json!("all")).await?;
    for client in [&mut ann, &mut abe, &mut bob] {
        expect(client, "local:room", &json!("all")).await?;
    }

    nats.kill()?;
    for gateway in [&a, &b] {
        wait_bus(gateway, "down").await?;
    }
    publish(&mut ann, "local:room", json!("here")).await?;
    publish(&mut bob, "local:room", json!("there")).await?;
    for client in [&mut ann, &mut abe] {
        expect(client, "local:room", &json!("here")).await?;
    }
    expect(&mut bob, "local:room", &json!("there")).await?;
    // A room that nobody was in is joined too; the server API speaks to those who are here.
    let mut late = [member(&a, "local:new").await?, member(&b, "local:new").await?];
    let said = a
        .api("publish", &json!({ "channel": "local:new", "data": "by API" }))
        .await?;
    ensure!(said.get("error").is_none(), "{said}");
    expect(&mut late[0], "local:new", &json!("by API")).await?;
    let labels = [("room_namespace", "local")];
    let degraded = metric(&a, "natter_publications_degraded_total", &labels).await?;
    ensure!((degraded - 2.0).abs() < 0.5, "{degraded}");
    for room in ["strict:room", "kept:room"] {
        for command in ["subscribe", "publish"] {
            let command = json!({ command: { "channel": room, "data": 1 } });
            let reply = ann.request(command.clone()).await?;
            ensure!(is_temporary(&reply), "{command} was answered by {reply}");
        }
    }

    nats.restart().await?;
    for gateway in [&a, &b] {
        wait_bus(gateway, "up").await?;
    }
    eventually("the room joined meanwhile is joined at NATS", LIMIT, async || {
        let rooms = nats.subscriptions(PREFIX).await?;
        let new = rooms.iter().filter(|room| room.subject.contains("new")).count();
        ensure!(new == 2, "{rooms:?}");
        Ok(())
    })
    .await?;
    publish(&mut bob, "local:room", json!("again")).await?;
    done(
        &mut late[1],
        json!({ "publish": { "channel": "local:new", "data": "together" } }),
    )
    .await?;
    for client in [&mut ann, &mut abe, &mut bob] {
        expect(client, "local:room", &json!("again")).await?;
    }
    for client in &mut late {
        expect(client, "local:new", &json!("together")).await?;
        ensure!(client.waiting().count() == 0, "something came twice");
    }
    drop(connect(&a).await?);
    a.metrics().await?.balance()
}

#[tokio::test]
async fn a_gateway_that_never_saw_nats_serves_its_own_members() -> Result<()> {
    // A port that nothing listens on.
    let nats = users::server().start().await?;
    nats.kill()?;
    let gateway = gateway("alone", &nats.url()).await?;
    let (mut ann, mut abe) =
        tokio::try_join!(member(&gateway, "local:room"), member(&gateway, "local:room"))?;
    publish(&mut ann, "local:room", json!(1)).await?;
    for client in [&mut ann, &mut abe] {
        expect(client, "local:room", &json!(1)).await?;
    }
    Ok(())
}

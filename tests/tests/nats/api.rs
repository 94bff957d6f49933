//! The server API asked at one gateway about clients of another.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{LIMIT, call, connect, expect, gateway, member, names, publish, user, wait_names};
use crate::users;

#[tokio::test]
async fn orders_reach_users_at_the_other_gateway() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let mut ann = user(&b, "ann").await?;
    let mut bob = user(&b, "bob").await?;

    call(&a, "subscribe", json!({ "user": "ann", "channel": "room" })).await?;
    let push = ann.push().await?;
    ensure!(
        push["channel"] == "room" && push.get("subscribe").is_some(),
        "{push}"
    );
    call(&a, "publish", json!({ "channel": "room", "data": "for ann" })).await?;
    expect(&mut ann, "room", &json!("for ann")).await?;

    call(&a, "unsubscribe", json!({ "user": "ann", "channel": "room" })).await?;
    let push = ann.push().await?;
    ensure!(push["unsubscribe"]["code"] == 2000, "{push}");

    let reason = json!({ "code": 4321, "reason": "enough" });
    call(&a, "disconnect", json!({ "user": "ann", "disconnect": reason })).await?;
    assert_eq!(ann.close_frame().await?, (4321, "enough".to_owned()));

    // Bob was meant by none of it.
    publish(&mut bob, "room", json!("still here")).await?;
    ensure!(bob.waiting().next().is_none());
    let broadcast = json!({ "channels": ["one", "two"], "data": "to both" });
    let mut both = [member(&b, "one").await?, member(&b, "two").await?];
    call(&a, "broadcast", broadcast).await?;
    for (client, room) in both.iter_mut().zip(["one", "two"]) {
        expect(client, room, &json!("to both")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn channels_are_counted_over_all_gateways() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    wait_names(&a, &["a", "b"], LIMIT).await?;
    let _members = [
        member(&a, "shared").await?,
        member(&a, "shared").await?,
        member(&b, "shared").await?,
        member(&b, "only-b").await?,
    ];
    let all = call(&a, "channels", json!({})).await?;
    let expected = json!({ "channels": { "shared": { "num_clients": 3 }, "only-b": { "num_clients": 1 } } });
    assert_eq!(all, expected);
    let some = call(&a, "channels", json!({ "pattern": "only-*" })).await?;
    assert_eq!(some, json!({ "channels": { "only-b": { "num_clients": 1 } } }));
    Ok(())
}

#[tokio::test]
async fn info_lists_who_is_there_and_forgets_who_is_gone() -> Result<()> {
    let nats = users::server().start().await?;
    let start = async |name| gateway(name, nats.url()).await;
    let (a, b, c) = tokio::try_join!(start("a"), start("b"), start("c"))?;
    for gateway in [&a, &b, &c] {
        wait_names(gateway, &["a", "b", "c"], LIMIT).await?;
    }
    let _client = connect(&b).await?;
    eventually("the client of b is in the list of a", LIMIT, async || {
        let info = call(&a, "info", json!({})).await?;
        ensure!(info["nodes"][1]["num_clients"] == 1, "{info}");
        Ok(())
    })
    .await?;
    // One takes its leave and is forgotten before anything could have run out; the other one vanishes.
    c.terminate()?;
    ensure!(c.wait_exit(LIMIT).await?.success());
    wait_names(&a, &["a", "b"], Duration::from_secs(3)).await?;
    b.kill()?;
    assert_eq!(names(&a).await?, ["a", "b"], "nobody can know yet");
    wait_names(&a, &["a"], Duration::from_secs(15)).await
}

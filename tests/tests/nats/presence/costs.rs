//! What rooms with many members say to other gateways and to their members.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::scene::{clients, many, pair, wait_count};
use crate::support::{LIMIT, call, connect, metric, subscribe};
use crate::users;

/// Messages about members that a gateway has sent.
async fn words(gateway: &Gateway) -> Result<f64> {
    metric(gateway, "natter_presence_words_total", &[]).await
}

/// Joins and leaves that its members were told, or were to be told.
async fn pushes(gateway: &Gateway) -> Result<String> {
    let pushes = metric(gateway, "natter_presence_pushes_total", &[]).await?;
    Ok(pushes.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_joins_are_some_tens_of_messages() -> Result<()> {
    const JOINS: usize = 2_000;
    let nats = users::server().start().await?;
    let [a, b] = pair(&nats.url()).await?;
    let _member = clients(&b, "quiet:room", 1).await?;
    let mut users = many(JOINS, async |_| connect(&a).await).await?;
    let before = words(&a).await?;
    let began = Instant::now();
    try_join_all(users.iter_mut().map(|user| subscribe(user, "quiet:room"))).await?;
    wait_count(&[&a, &b], "quiet:room", JOINS + 1).await?;
    // The other may know all of them from a digest, before the first window ends.
    let said = eventually("it says what has changed", LIMIT, async || {
        let said = words(&a).await? - before;
        ensure!(said >= 1.0, "nothing is said");
        anyhow::Ok(said)
    })
    .await?;
    // A window is 150 ms; what it does not hold in one message, and beats, come on top.
    let windows = began.elapsed().as_secs_f64() / 0.15;
    ensure!(said <= 20.0 + windows, "{said} in {windows} windows");
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_of_anybody_above_the_limit() -> Result<()> {
    let nats = users::server().start().await?;
    let [a, b] = pair(&nats.url()).await?;
    let mut first = clients(&a, "few:room", 4).await?;
    let mut others = clients(&b, "few:room", 4).await?;
    let counted = async |expected: usize| {
        for gateway in [&a, &b] {
            eventually("all are counted", LIMIT, async || {
                let stats = call(gateway, "presence_stats", json!({ "channel": "few:room" })).await?;
                ensure!(stats["num_clients"] == expected, "{stats}");
                let answer = gateway.api("presence", &json!({ "channel": "few:room" })).await?;
                ensure!(answer["error"]["code"] == 106, "{answer}");
                Ok(())
            })
            .await?;
        }
        anyhow::Ok(())
    };
    counted(8).await?;
    // Behind this nothing comes any more of what was told while the room was small.
    call(&a, "publish", json!({ "channel": "few:room", "data": "settled" })).await?;
    for client in first.iter_mut().chain(&mut others) {
        let settled = |value: &Value| value["push"]["pub"]["data"] == "settled";
        client.recv_where(settled).await?;
    }
    let (told, said) = ([pushes(&a).await?, pushes(&b).await?], words(&a).await?);
    let began = Instant::now();
    first.extend(clients(&a, "few:room", 200).await?);
    counted(208).await?;
    first.truncate(100);
    counted(104).await?;
    let now = [pushes(&a).await?, pushes(&b).await?];
    ensure!(now == told, "{now:?} after {told:?}");
    // Numbers, once a second, and once more each time that they have settled.
    let seconds = began.elapsed().as_secs_f64();
    let said = words(&a).await? - said;
    ensure!(said <= 2.0 * seconds + 4.0, "{said} in {seconds} s");
    Ok(())
}

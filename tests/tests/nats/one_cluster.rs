//! A NATS that serves one cluster alone, as the operator runs it: its users are the same whatever the cluster's namespaces are.

use anyhow::{Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;

use crate::permissions::{Intruder, ROOMS, everything};
use crate::support::{LIMIT, PREFIX, builder, metric, wait_bus};
use crate::users;

/// As the command prints them.
async fn printed() -> Result<String> {
    let args = ["nats-permissions", "--any-namespaces", PREFIX];
    let finished = builder("print", "nats://127.0.0.1:1", "")
        .run(&args, LIMIT)
        .await?;
    ensure!(finished.status.success(), "{finished:?}");
    Ok(finished.stdout.join("\n"))
}

async fn gateway(name: &str, nats: &NatsServer) -> Result<Gateway> {
    let builder = builder(name, &nats.url(), ROOMS).env("NATTER_API_NATS", "true");
    let gateway = builder.start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

#[tokio::test]
async fn gateways_do_all_their_work_and_make_their_streams() -> Result<()> {
    let nats = users::with_users(&printed().await?).jetstream().start().await?;
    let (a, b) = (gateway("a", &nats).await?, gateway("b", &nats).await?);
    everything(&a, &b, &nats).await?;
    for gateway in [&a, &b] {
        let refused = metric(gateway, "natter_bus_errors_total", &[("kind", "permission")]).await?;
        ensure!(refused == 0.0, "{:?}", gateway.logs());
    }
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_a_password_or_further_than_its_work() -> Result<()> {
    let nats = users::only(&printed().await?).jetstream().start().await?;
    ensure!(async_nats::connect(nats.url()).await.is_err(), "a stranger is in");
    let mut gateway = Intruder::login("gateway", &nats).await?;
    let publish = [
        "$JS.API.STREAM.DELETE.scenario_kept_0",
        "$JS.API.STREAM.MSG.DELETE.scenario_kept_0",
        "$JS.API.STREAM.NAMES",
        "$JS.API.CONSUMER.CREATE.scenario_kept_0",
        "$JS.API.META.LEADER.STEPDOWN",
        "$SYS.REQ.SERVER.PING",
        "$KV.other_revocations.key",
        "other.eph.0.room",
        "other.msg.kept.0.room",
        "scenario.api.publish",
        "scenario.admin.inbox.a",
    ];
    let subscribe = [
        ">",
        "scenario.>",
        "scenario.msg.kept.0.*",
        "scenario.admin.inbox.>",
        "$JS.API.>",
    ];
    gateway.may_not(&publish, &subscribe).await?;
    let mut admin = Intruder::login("admin", &nats).await?;
    let publish = [
        "scenario.eph.0.room",
        "scenario.msg.kept.0.room",
        "$JS.API.STREAM.PURGE.scenario_kept_0",
    ];
    admin.may_not(&publish, &["scenario.eph.0.*"]).await
}

//! `natter-gateway delete-streams`: what goes, what stays, and why it may not be done.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{API_KEY, Finished, Gateway, GatewayBuilder};
use natter_tests::nats::NatsServer;
use natter_tests::port::ReservedPort;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::LIMIT;

const ROOMS: [&str; 2] = ["log:a", "log-2:a"];

fn gateway(servers: &str, prefix: &str) -> GatewayBuilder {
    Gateway::builder()
        .config(
            "rooms: { namespaces: [{ name: log, history: {} }, { name: log-2, history: { stream: { partitions: 3 } } }] }",
        )
        .env("NATTER_API_KEYS", API_KEY)
        .env("NATTER_BUS_NATS_SERVERS", servers)
        .env("NATTER_BUS_PREFIX", prefix)
}

/// All streams of a gateway that is gone again, with `count` messages in one room of each namespace.
async fn stored(servers: &str, prefix: &str, partitions: usize, count: usize) -> Result<()> {
    let client = connect(servers).await?;
    let gateway = gateway(servers, prefix).start().await?;
    for (number, room) in (0..count).flat_map(|number| ROOMS.map(|room| (number, room))) {
        let request = json!({ "channel": room, "data": number, "idempotency_key": number.to_string() });
        eventually("a message is stored", LIMIT, async || {
            let answer = gateway.api("publish", &request).await?;
            ensure!(answer.get("result").is_some(), "{answer}");
            Ok(())
        })
        .await?;
    }
    // Those of other partitions, and the bucket, may still be under way.
    eventually("all streams are there", LIMIT, async || {
        let all = streams_of(&client).await?;
        let own = |name: &&String| {
            name.starts_with(&format!("{prefix}_")) || name.starts_with(&format!("KV_{prefix}_"))
        };
        ensure!(all.iter().filter(own).count() == partitions + 4, "{all:?}");
        Ok(())
    })
    .await?;
    gateway.kill()?;
    gateway.wait_exit(LIMIT).await?;
    Ok(())
}

/// Runs it to its end, with a time limit in seconds.
async fn delete(gateway: GatewayBuilder, time_limit: u32) -> Result<(i32, Finished)> {
    let limit = format!("{time_limit}s");
    let args = ["delete-streams", "--config", "{config}", "--time-limit", &limit];
    let finished = gateway.run(&args, LIMIT * 2).await?;
    let code = finished.status.code().context("ended by a signal")?;
    Ok((code, finished))
}

/// As the user that the address names, if it does.
async fn connect(servers: &str) -> Result<async_nats::Client> {
    let Some((user, host)) = servers.split_once('@') else {
        return Ok(async_nats::connect(servers.split(',').collect::<Vec<_>>()).await?);
    };
    let user = user.trim_start_matches("nats://");
    let (name, password) = user.split_once(':').context("a user without a password")?;
    let options = async_nats::ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned());
    Ok(options.connect(host).await?)
}

/// Names of all streams, in order.
async fn streams(servers: &str) -> Result<Vec<String>> {
    streams_of(&connect(servers).await?).await
}

async fn streams_of(client: &async_nats::Client) -> Result<Vec<String>> {
    let answer = client.request("$JS.API.STREAM.NAMES", "".into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    let names = answer["streams"].as_array().into_iter().flatten();
    let mut names: Vec<_> = names.filter_map(Value::as_str).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

async fn two_clusters_share(servers: &str, partitions: usize) -> Result<()> {
    stored(servers, "chat", partitions, 3).await?;
    stored(servers, "chat-2", partitions, 1).await?;
    let mut all = streams(servers).await?;

    let (code, finished) = delete(gateway(servers, "chat"), 20).await?;
    ensure!(code == 0 && finished.stderr.is_empty(), "{finished:?}");
    let out = &finished.stdout;
    ensure!(out.len() == partitions + 5, "{out:?}");
    ensure!(
        out.last()
            .is_some_and(|line| line == "no stream is left to delete"),
        "{out:?}"
    );
    for namespace in ["log", "log-2"] {
        let line = |line: &&String| line.starts_with(&format!("deleted chat_{namespace}_"));
        let of_three = out
            .iter()
            .filter(line)
            .filter(|line| line.ends_with(", 3 messages"))
            .count();
        ensure!(of_three == 1, "{namespace}: {out:?}");
    }
    all.retain(|name| name.starts_with("chat-2_") || name == "KV_chat-2_revocations");
    ensure!(streams(servers).await? == all, "the streams of chat-2 stay");

    let (code, again) = delete(gateway(servers, "chat"), 20).await?;
    ensure!(
        code == 0 && again.stdout == ["there was no stream to delete"],
        "{again:?}"
    );
    Ok(())
}

#[tokio::test]
async fn only_the_streams_of_this_cluster_go() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    two_clusters_share(&nats.url(), 1).await
}

#[tokio::test]
async fn only_the_streams_of_this_cluster_go_from_three_servers() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start_cluster(3).await?;
    two_clusters_share(&nats.url(), 4).await
}

/// Streams of a namespace that is gone from the configuration go too; an administrator's stay, and are named.
#[tokio::test]
async fn streams_that_gateways_do_not_manage_stay() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    stored(&nats.url(), "chat", 1, 1).await?;
    let client = async_nats::connect(nats.url()).await?;
    let own = json!({ "name": "chat_own_0", "subjects": ["own.>"] }).to_string();
    client
        .request("$JS.API.STREAM.CREATE.chat_own_0", own.into())
        .await?;
    let unmanaged = gateway(&nats.url(), "chat")
        .config("rooms: { namespaces: [{ name: log, history: { stream: { managed: false } } }] }");
    let (code, finished) = delete(unmanaged, 20).await?;
    let kept: Vec<_> = finished
        .stdout
        .iter()
        .filter(|line| line.starts_with("kept "))
        .collect();
    ensure!(
        code == 0
            && kept
                == [
                    "kept chat_log_0: gateways do not manage it",
                    "kept chat_own_0: gateways do not manage it"
                ],
        "{finished:?}"
    );
    ensure!(streams(&nats.url()).await? == ["chat_log_0", "chat_own_0"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_told_in_the_servers_words() -> Result<()> {
    let users = r#"authorization { users: [
        { user: admin, password: secret },
        { user: chat, password: secret, permissions: { publish: { deny: ["$JS.API.STREAM.DELETE.>"] } } },
    ] }"#;
    let nats = NatsServer::builder().jetstream().config(users).start().await?;
    let url = |user: &str| nats.url().replace("nats://", &format!("nats://{user}:secret@"));
    stored(&url("admin"), "chat", 1, 1).await?;
    let (code, finished) = delete(gateway(&url("chat"), "chat"), 20).await?;
    let told = finished.stderr.join("\n");
    ensure!(
        code == 1 && told.contains("delete-streams: NATS does not permit it: "),
        "{finished:?}"
    );
    ensure!(
        told.to_lowercase().contains("$js.api.stream.delete.chat_log"),
        "{told}"
    );
    ensure!(!told.contains("secret"), "{told}");
    let left = streams(&url("admin")).await?;
    ensure!(left.len() == 5, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn without_nats_it_ends_in_time_and_says_why() -> Result<()> {
    let nobody = ReservedPort::take()?;
    let (code, finished) = delete(
        gateway(&format!("nats://127.0.0.1:{}", nobody.number()), "chat"),
        1,
    )
    .await?;
    let told = finished.stderr.join("\n");
    ensure!(
        code == 1 && told.contains("delete-streams: not within 1s: cannot connect to NATS: "),
        "{finished:?}"
    );
    let without_jetstream = NatsServer::start().await?;
    let (code, finished) = delete(gateway(&without_jetstream.url(), "chat"), 1).await?;
    let told = finished.stderr.join("\n");
    ensure!(
        code == 1 && told.contains("not within 1s: JetStream does not do it: "),
        "{finished:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_told_as_ever() -> Result<()> {
    let embedded = Gateway::builder();
    let (code, finished) = delete(embedded, 1).await?;
    ensure!(
        code == 1
            && finished
                .stderr
                .join("\n")
                .contains("bus.nats.servers names no NATS"),
        "{finished:?}"
    );
    let (code, finished) = delete(Gateway::builder().config("listn: 1"), 1).await?;
    ensure!(
        code == 64 && finished.stderr.join("\n").contains("unknown key"),
        "{finished:?}"
    );
    Ok(())
}

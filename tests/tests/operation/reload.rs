//! New settings for a running gateway: whole or not at all, by signal or by a change of the file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway, LogLine};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{LIMIT, error_code, member, metric, publish};

/// Writes the file, sends SIGHUP and waits for the line that says how it went.
async fn reload(gateway: &Gateway, config: &str, said: &str) -> Result<LogLine> {
    let before = gateway.logs().len();
    gateway.write_config(config)?;
    gateway.reload()?;
    gateway
        .wait_log_after(before, |line| line.message() == said, LIMIT)
        .await
}

async fn joins(client: &mut Client, room: &str) -> Result<u64> {
    let reply = client
        .request(json!({ "subscribe": { "channel": room } }))
        .await?;
    Ok(error_code(&reply))
}

/// Joins once the new settings have reached the worker of this connection, which is a moment after the log line.
async fn joins_soon(client: &mut Client, room: &str) -> Result<()> {
    eventually("a new namespace acts on a live socket", LIMIT, async || {
        let code = joins(client, room).await?;
        ensure!(code == 0, "{code}");
        Ok(())
    })
    .await
}

async fn publishes(client: &mut Client, room: &str) -> Result<u64> {
    let reply = client
        .request(json!({ "publish": { "channel": room, "data": 1 } }))
        .await?;
    Ok(error_code(&reply))
}

/// Whether the last reload went well, and how many were applied and refused.
async fn reloads(gateway: &Gateway) -> Result<[f64; 3]> {
    let total = "natter_config_reloads_total";
    Ok([
        metric(gateway, "natter_config_last_reload_successful", &[]).await?,
        metric(gateway, total, &[("result", "applied")]).await?,
        metric(gateway, total, &[("result", "refused")]).await?,
    ])
}

#[tokio::test]
async fn new_namespaces_policies_and_keys_act_on_live_sockets() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!("api: {{ keys: [{API_KEY}] }}"))
        .start()
        .await?;
    let mut client = member(&gateway, "lobby").await?;
    assert_eq!(joins(&mut client, "news:today").await?, 102);
    assert_eq!(publishes(&mut client, "lobby").await?, 0);

    let new = "
api: { keys: [another-key] }
rooms:
  default: { subscribe: anyone, publish: server }
  namespaces:
    - { name: news, subscribe: anyone, publish: server }
";
    reload(&gateway, new, "configuration reloaded").await?;
    joins_soon(&mut client, "news:today").await?;
    assert_eq!(publishes(&mut client, "news:today").await?, 103, "its policy");
    assert_eq!(
        publishes(&mut client, "lobby").await?,
        103,
        "a policy that changed"
    );
    let body = json!({ "channel": "lobby", "data": "still here" }).to_string();
    let (status, _) = gateway.api_raw("publish", Some(API_KEY), body.clone()).await?;
    assert_eq!(status, 401, "the old key");
    let (status, _) = gateway.api_raw("publish", Some("another-key"), body).await?;
    assert_eq!(status, 200, "the new key");
    let here = json!({ "channel": "lobby", "pub": { "data": "still here" } });
    client.recv_where(|value| value["push"] == here).await?;
    assert_eq!(reloads(&gateway).await?, [1.0, 1.0, 0.0]);
    Ok(())
}

#[tokio::test]
async fn members_of_a_removed_namespace_are_told() -> Result<()> {
    let namespaces = |names: &str| format!("rooms: {{ namespaces: [{names}] }}");
    let news = "{ name: news, subscribe: anyone }";
    let chat = "{ name: chat, subscribe: anyone }";
    let gateway = Gateway::builder()
        .config(&namespaces(&format!("{news}, {chat}")))
        .start()
        .await?;
    let mut client = member(&gateway, "news:today").await?;
    assert_eq!(joins(&mut client, "chat:lobby").await?, 0);

    reload(&gateway, &namespaces(chat), "configuration reloaded").await?;
    let told = client.push().await?;
    let unsubscribe = json!({ "code": 2000, "reason": "server unsubscribe" });
    assert_eq!(
        told,
        json!({ "channel": "news:today", "unsubscribe": unsubscribe })
    );
    assert_eq!(joins(&mut client, "news:today").await?, 102);
    assert_eq!(joins(&mut client, "chat:lobby").await?, 105, "still a member");
    assert_eq!(metric(&gateway, "natter_subscriptions", &[]).await?, 1.0);
    Ok(())
}

#[tokio::test]
async fn an_invalid_file_leaves_the_old_settings_running() -> Result<()> {
    let old = format!("api: {{ keys: [{API_KEY}] }}");
    let gateway = Gateway::builder().config(&old).start().await?;
    let mut client = member(&gateway, "lobby").await?;

    let line = reload(
        &gateway,
        "rooms: { default: null }\nclient: { ping_interval: soon }",
        "configuration not reloaded",
    )
    .await?;
    assert_eq!(line.level(), "ERROR");
    let reason = line
        .field("reason")
        .and_then(|reason| reason.as_str())
        .unwrap_or_default();
    assert!(reason.starts_with("client.ping_interval: "), "{reason}");
    assert_eq!(reloads(&gateway).await?, [0.0, 0.0, 1.0]);
    assert_eq!(
        publishes(&mut client, "lobby").await?,
        0,
        "nothing of it is in force"
    );
    publish(&gateway, "lobby", &json!("by the old key")).await?;

    reload(&gateway, &old, "configuration is unchanged").await?;
    assert_eq!(reloads(&gateway).await?, [1.0, 1.0, 1.0]);
    Ok(())
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name_and_the_rest_with_it() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    let mut client = member(&gateway, "lobby").await?;
    let new = "
bus: { prefix: other }
workers: 7
rooms: { namespaces: [{ name: news, subscribe: anyone }] }
";
    reload(&gateway, new, "configuration not reloaded").await?;
    for key in ["bus.prefix", "workers"] {
        let names = |line: &LogLine| {
            let reason = line.field("reason").and_then(|reason| reason.as_str());
            reason.is_some_and(|reason| reason.starts_with(&format!("{key}: ")) && reason.contains("restart"))
        };
        gateway.wait_log(names, LIMIT).await?;
    }
    assert_eq!(
        joins(&mut client, "news:today").await?,
        102,
        "whole or not at all"
    );
    assert_eq!(reloads(&gateway).await?, [0.0, 0.0, 1.0]);
    Ok(())
}

#[tokio::test]
async fn the_log_level_follows_a_reload() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    member(&gateway, "lobby").await?;
    assert!(gateway.logs().iter().all(|line| line.level() != "DEBUG"));
    reload(&gateway, "log: { level: debug }", "configuration reloaded").await?;
    let before = gateway.logs().len();
    member(&gateway, "lobby").await?;
    let opened = |line: &LogLine| line.level() == "DEBUG" && line.message() == "opened";
    gateway.wait_log_after(before, opened, LIMIT).await?;
    Ok(())
}

#[tokio::test]
async fn a_changed_file_is_noticed_as_a_rename_and_as_a_config_map() -> Result<()> {
    let namespace = |name: &str| format!("rooms: {{ namespaces: [{{ name: {name}, subscribe: anyone }}] }}");
    let gateway = Gateway::builder().start().await?;
    let mut client = member(&gateway, "lobby").await?;
    let applied = |line: &LogLine| line.message() == "configuration reloaded";

    gateway.write_config(&namespace("renamed"))?;
    gateway.wait_log(applied, LIMIT).await?;
    joins_soon(&mut client, "renamed:room").await?;

    // The kubelet's way: natter.yaml → ..data/natter.yaml, ..data → a directory for each version.
    let path = gateway.config_path();
    let mount = path.parent().context("the file is in a directory")?;
    version(mount, "..first", &namespace("renamed"))?;
    swap(mount, "..first", "..data")?;
    swap(mount, "..data/natter.yaml", "natter.yaml")?;
    let before = gateway.logs().len();
    version(mount, "..second", &namespace("mounted"))?;
    swap(mount, "..second", "..data")?;
    gateway.wait_log_after(before, applied, LIMIT).await?;
    joins_soon(&mut client, "mounted:room").await?;
    assert_eq!(
        reloads(&gateway).await?,
        [1.0, 2.0, 0.0],
        "the link alone was no change"
    );
    Ok(())
}

fn version(mount: &Path, directory: &str, config: &str) -> Result<()> {
    std::fs::create_dir(mount.join(directory))?;
    std::fs::write(mount.join(directory).join("natter.yaml"), config)?;
    Ok(())
}

/// Puts a link in the place of `name` in one step.
fn swap(mount: &Path, target: &str, name: &str) -> Result<()> {
    let fresh = mount.join("..fresh");
    std::os::unix::fs::symlink(target, &fresh)?;
    std::fs::rename(&fresh, mount.join(name))?;
    Ok(())
}

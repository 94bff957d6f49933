//! The program and its configuration: what it refuses, how early, and which source wins.

use std::net::TcpListener;

use anyhow::{Context, Result};
use natter_tests::client::Client;
use natter_tests::gateway::{Finished, Gateway, GatewayBuilder};
use serde_json::json;

use crate::support::LIMIT;

/// Wrong in four ways: an unknown key, a wrong type, a value out of range, keys that do not fit each other.
const WRONG: &str = "
client:
  ping_intervall: 25s
  channel_limit: many
drain:
  accept: 20s
  duration: 20s
  deadline: 30s
rooms:
  namespaces:
    - name: news
    - name: news
";

const CHECK: [&str; 3] = ["check-config", "--config", "{config}"];
const START: [&str; 2] = ["--config", "{config}"];

async fn finish(builder: GatewayBuilder, args: &[&str]) -> Result<(i32, Finished)> {
    let finished = builder.run(args, LIMIT).await?;
    let code = finished.status.code().context("ended by a signal")?;
    Ok((code, finished))
}

#[tokio::test]
async fn every_error_is_reported_with_its_path_and_exit_code_64() -> Result<()> {
    let (code, checked) = finish(Gateway::builder().config(WRONG), &CHECK).await?;
    assert_eq!(code, 64);
    for path in [
        "client.ping_intervall: ",
        "client.channel_limit: ",
        "drain.deadline: ",
        "rooms.namespaces[1].name: ",
    ] {
        let found = checked
            .stderr
            .iter()
            .filter(|line| line.starts_with(path))
            .count();
        assert_eq!(found, 1, "{path} in {:?}", checked.stderr);
    }
    assert_eq!(checked.stderr.len(), 4, "one line an error: {:?}", checked.stderr);
    assert!(checked.stdout.is_empty(), "{:?}", checked.stdout);

    let (code, started) = finish(Gateway::builder().config(WRONG), &START).await?;
    assert_eq!(
        (code, &started.stderr),
        (64, &checked.stderr),
        "a start says the same"
    );
    Ok(())
}

#[tokio::test]
async fn the_configuration_is_judged_before_a_port_is_bound() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let builder = || Gateway::builder().env("NATTER_LISTEN", &address);
    let (code, finished) = finish(builder().config("bogus: 1"), &START).await?;
    assert_eq!(code, 64, "{:?}", finished.stderr);
    let (code, finished) = finish(builder(), &START).await?;
    assert_eq!(code, 1, "{:?}", finished.stderr);
    let last = finished.stderr.last().context("nothing is said")?;
    assert!(last.contains(&format!("cannot listen on {address}")), "{last}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_command_line_is_64_and_help_is_0() -> Result<()> {
    let (code, finished) = finish(Gateway::builder(), &["--no-such-flag"]).await?;
    assert_eq!(code, 64, "{:?}", finished.stderr);
    let (code, finished) = finish(Gateway::builder(), &["--help"]).await?;
    assert_eq!(code, 0);
    let help = finished.stdout.join("\n");
    for text in [
        "check-config",
        "--config",
        "--listen",
        "--nats",
        "NATTER_CONFIG",
        "64",
    ] {
        assert!(help.contains(text), "{text} in {help}");
    }
    Ok(())
}

#[tokio::test]
async fn an_open_address_without_authentication_is_refused_unless_said_so() -> Result<()> {
    let open = || Gateway::builder().env("NATTER_LISTEN", "0.0.0.0:0");
    let (code, finished) = finish(open(), &START).await?;
    assert_eq!(code, 64);
    let said = finished.stderr.join("\n");
    assert!(said.starts_with("client.anonymous: "), "{said}");
    assert!(said.contains("client.anonymous: allow"), "how to say so: {said}");

    let allowed = "client: { anonymous: allow }";
    let gateway = open().config(allowed).start().await?;
    assert!(gateway.public().ip().is_unspecified());
    Client::connected(&gateway.ws_url(), json!({})).await?;

    let key = "not-to-be-seen";
    let short = format!("{allowed}\napi: {{ keys: [{key}] }}");
    let (code, finished) = finish(open().config(&short), &START).await?;
    assert_eq!(code, 64);
    let said = finished.stderr.join("\n");
    assert!(said.starts_with("api.keys[0]: "), "{said}");
    assert!(!said.contains(key), "{said}");
    Ok(())
}

#[tokio::test]
async fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() -> Result<()> {
    let file = "node_name: from-file";
    let builder = || {
        Gateway::builder()
            .config(file)
            .env("NATTER_NODE_NAME", "from-environment")
    };
    let flags = [&CHECK[..], &["--set", "node_name=from-flag"]].concat();
    for (builder, args, node) in [
        (Gateway::builder().config(file), &CHECK[..], "from-file"),
        (builder(), &CHECK, "from-environment"),
        (builder(), &flags, "from-flag"),
    ] {
        let (code, finished) = finish(builder, args).await?;
        assert_eq!(code, 0, "{:?}", finished.stderr);
        let summary = finished.stdout.join("\n");
        assert!(summary.contains(&format!("node   {node}, ")), "{summary}");
    }

    let gateway = Gateway::builder()
        .config("client: { ping_interval: 20s, pong_timeout: 7s, channel_limit: 3 }")
        .env("NATTER_CLIENT_PING_INTERVAL", "30s")
        .env("NATTER_CLIENT_CHANNEL_LIMIT", "4")
        .args(&["--set", "client.ping_interval=40s"])
        .start()
        .await?;
    let (mut client, greeting) = Client::connected(&gateway.ws_url(), json!({})).await?;
    assert_eq!(greeting["ping"], 40, "the flag");
    for number in 0..5 {
        let reply = client
            .request(json!({ "subscribe": { "channel": format!("room{number}") } }))
            .await?;
        assert_eq!(
            reply["error"]["code"] == 106,
            number >= 4,
            "the variable: {reply}"
        );
    }
    Ok(())
}

//! Emptying a gateway from outside while it runs: cordon, drain, shed, and who may order it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{LIMIT, member, metric};

const OLD: &str = "the-token-before-this";
const TOKEN: &str = "a-token-of-the-operator";

/// A gateway with a token file that tests may write.
async fn controlled() -> Result<(Gateway, TempDir)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tokens");
    std::fs::write(&file, format!("{OLD}\n"))?;
    let gateway = Gateway::builder()
        .config(&format!(
            "api: {{ keys: [{API_KEY}] }}\nops: {{ control: {{ token_file: {} }} }}\ndrain: {{ retry_after: 3s }}",
            file.display()
        ))
        .start()
        .await?;
    Ok((gateway, directory))
}

async fn ordered(gateway: &Gateway, call: &str, body: &str) -> Result<Value> {
    let (status, state) = gateway.control(call, OLD, body).await?;
    ensure!(
        (200..300).contains(&status),
        "{call} was answered by {status} {state}"
    );
    Ok(state)
}

async fn members(gateway: &Gateway, count: usize) -> Result<Vec<Client>> {
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(member(gateway, "lobby").await?);
    }
    Ok(members)
}

/// Waits until every client is closed with `code`; gives the moments, in order.
async fn closes(clients: Vec<Client>, code: u16) -> Result<Vec<Instant>> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let (closed, reason) = client.close_frame().await?;
            ensure!(closed == code, "closed with {closed} {reason}");
            Ok(Instant::now())
        });
    }
    let mut moments = tasks.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    moments.sort();
    Ok(moments)
}

#[tokio::test]
async fn a_gateway_is_cordoned_drained_and_put_to_use_again() -> Result<()> {
    let (gateway, _tokens) = controlled().await?;
    let mut clients = members(&gateway, 39).await?;
    ordered(&gateway, "cordon", "").await?;
    assert_eq!(gateway.ready().await?.0, 200, "its connections work");
    clients.push(
        member(&gateway, "lobby")
            .await
            .context("a late arrival is served")?,
    );
    assert_eq!(metric(&gateway, "natter_cordoned", &[]).await?, 1.0);

    let state = ordered(&gateway, "drain", r#"{"rate": 20}"#).await?;
    assert_eq!(
        (&state["draining"], &state["connections"]),
        (&json!(true), &json!(40))
    );
    ensure!(
        Client::connect(&gateway.ws_url()).await.is_err(),
        "a draining gateway serves newcomers"
    );
    let moments = closes(clients, 3001).await?;
    let (first, last) = (moments[0], moments[39]);
    ensure!(
        last - first >= Duration::from_millis(1_500),
        "40 at 20 a second took {:?}",
        last - first
    );
    let state = eventually("the gateway is empty", LIMIT, async || {
        let state = ordered(&gateway, "state", "").await?;
        ensure!(state["empty"] == true, "{state}");
        Ok(state)
    })
    .await?;
    assert_eq!(
        (&state["connections"], &state["terminating"]),
        (&json!(0), &json!(false))
    );
    gateway
        .wait_log(|line| line.message().starts_with("drained"), LIMIT)
        .await?;
    let (status, report) = gateway.ready().await?;
    ensure!(
        status == 503 && report.contains("\"draining\":true"),
        "{status} {report}"
    );
    assert!(metric(&gateway, "natter_disconnects_total", &[("reason", "shutdown")]).await? >= 40.0);

    ordered(&gateway, "uncordon", "").await?;
    assert_eq!(gateway.ready().await?.0, 200);
    member(&gateway, "lobby").await.context("it serves again")?;
    ordered(&gateway, "drain", r#"{"window": "0s"}"#).await?;
    let begun = Instant::now();
    gateway.terminate()?;
    assert_eq!(gateway.wait_exit(LIMIT).await?.code(), Some(0));
    ensure!(
        begun.elapsed() < Duration::from_secs(4),
        "an empty gateway waits for nobody"
    );
    Ok(())
}

#[tokio::test]
async fn a_shed_sends_some_away_and_leaves_the_others() -> Result<()> {
    let (gateway, _tokens) = controlled().await?;
    let clients = members(&gateway, 20).await?;
    let state = ordered(&gateway, "shed", r#"{"connections": 5, "rate": 10}"#).await?;
    assert_eq!(state["shedding"], 5);
    let (status, answer) = gateway
        .control("shed", OLD, r#"{"connections": 5, "rate": 10}"#)
        .await?;
    assert_eq!(status, 409, "{answer}");
    let shed = eventually("five are sent away", LIMIT, async || {
        let shed = metric(
            &gateway,
            "natter_disconnects_total",
            &[("reason", "force_reconnect")],
        )
        .await?;
        ensure!(shed >= 5.0, "{shed}");
        Ok(shed)
    })
    .await?;
    assert_eq!(shed, 5.0);
    let mut stayed = 0;
    for mut client in clients {
        // Who was sent away gets no answer to a command.
        match client
            .request(json!({ "subscribe": { "channel": "other" } }))
            .await
        {
            Ok(reply) => {
                ensure!(reply.get("subscribe").is_some(), "{reply}");
                stayed += 1;
            }
            Err(_) => assert_eq!(client.close_frame().await?, (3011, "force reconnect".to_owned())),
        }
    }
    assert_eq!(stayed, 15);
    assert_eq!(gateway.ready().await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_rotation_of_the_token_refuses_nobody_but_strangers() -> Result<()> {
    let (gateway, tokens) = controlled().await?;
    let (status, answer) = gateway.control("drain", "a-token-of-somebody-else", "").await?;
    assert_eq!(status, 401, "{answer}");
    gateway
        .wait_log(|line| line.message().contains("without a valid token"), LIMIT)
        .await?;
    let refused = [("call", "drain"), ("result", "unauthorized")];
    assert_eq!(
        metric(&gateway, "natter_control_requests_total", &refused).await?,
        1.0
    );

    std::fs::write(tokens.path().join("tokens"), format!("{TOKEN}\n{OLD}\n"))?;
    eventually("both tokens are accepted", LIMIT, async || {
        ensure!(metric(&gateway, "natter_control_tokens", &[]).await? == 2.0);
        Ok(())
    })
    .await?;
    for token in [OLD, TOKEN] {
        assert_eq!(gateway.control("state", token, "").await?.0, 200);
    }
    std::fs::write(tokens.path().join("tokens"), TOKEN)?;
    eventually("the old token is refused", LIMIT, async || {
        ensure!(gateway.control("state", OLD, "").await?.0 == 401);
        Ok(())
    })
    .await?;
    assert_eq!(gateway.control("state", TOKEN, "").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn without_a_token_file_nobody_controls_and_a_useless_one_is_told_at_the_start() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    let (status, answer) = gateway.control("drain", TOKEN, "").await?;
    assert_eq!(status, 403);
    ensure!(
        answer["error"]
            .to_string()
            .contains("ops.control.token_file is not set"),
        "{answer}"
    );
    assert_eq!(gateway.ready().await?.0, 200);
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tokens");
    std::fs::write(&file, "short")?;
    let path = file.display().to_string();
    let ended = Gateway::builder()
        .env("NATTER_OPS_CONTROL_TOKEN_FILE", path)
        .run(&["--config", "{config}"], LIMIT)
        .await?;
    assert_eq!(ended.status.code(), Some(1));
    let said = ended.stderr.join("\n");
    ensure!(
        said.contains("cannot use ops.control.token_file") && said.contains("line 1 is no token"),
        "{said}"
    );
    ensure!(!said.contains("short"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_state_tells_which_file_is_in_force() -> Result<()> {
    let (gateway, _tokens) = controlled().await?;
    let before = ordered(&gateway, "state", "").await?;
    ensure!(
        before["config"].as_str().is_some_and(|hash| hash.len() == 40),
        "{before}"
    );
    let text = std::fs::read_to_string(gateway.config_path())?;
    gateway.write_config(&format!("{text}\nclient: {{ channel_limit: 7 }}\n"))?;
    gateway.reload()?;
    let after = eventually("the new file is in force", LIMIT, async || {
        let state = ordered(&gateway, "state", "").await?;
        ensure!(state["config"] != before["config"], "{state}");
        Ok(state)
    })
    .await?;
    gateway.write_config("client: { channel_limit: many }\n")?;
    gateway.reload()?;
    gateway
        .wait_log(|line| line.message().contains("not reloaded"), LIMIT)
        .await?;
    assert_eq!(ordered(&gateway, "state", "").await?["config"], after["config"]);
    Ok(())
}

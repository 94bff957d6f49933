//! The server API asked by a plain NATS client.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, RequestErrorKind};
use natter_tests::gateway::{API_METHODS, Gateway, GatewayBuilder};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{self, LIMIT, PREFIX, builder, expect, member, metric, wait_bus};
use crate::users;

fn asked(name: &str, nats: &str) -> GatewayBuilder {
    builder(name, nats, "").env("NATTER_API_NATS", "true")
}

async fn start(builder: GatewayBuilder) -> Result<Gateway> {
    let gateway = builder.start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

async fn pair(nats: &NatsServer) -> Result<(Gateway, Gateway)> {
    tokio::try_join!(start(asked("a", &nats.url())), start(asked("b", &nats.url())))
}

/// Asks for one method, or with commands where none is named.
async fn ask(client: &Client, method: &str, body: impl ToString) -> Result<Value> {
    let subject = match method {
        "" => format!("{PREFIX}.api"),
        method => format!("{PREFIX}.api.{method}"),
    };
    let answer = client.request(subject, body.to_string().into()).await?;
    serde_json::from_slice(&answer.payload).with_context(|| format!("{:?}", answer.payload))
}

async fn code(client: &Client, method: &str, body: impl ToString) -> Result<Value> {
    Ok(ask(client, method, body).await?["error"]["code"].take())
}

/// Calls that a gateway answered, by their code.
async fn answered(gateway: &Gateway, code: &str) -> Result<f64> {
    let metrics = gateway.metrics().await?;
    let value = metrics.value("natter_api_requests_total", &[("code", code)]);
    Ok(value.unwrap_or(0.0))
}

#[tokio::test]
async fn any_gateway_of_the_cluster_answers() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = pair(&nats).await?;
    let client = async_nats::connect(nats.url()).await?;
    let mut members = [member(&a, "room").await?, member(&b, "room").await?];
    for number in 0..40 {
        let answer = ask(&client, "publish", json!({ "channel": "room", "data": number })).await?;
        ensure!(answer == json!({ "result": {} }), "{answer}");
        for member in &mut members {
            expect(member, "room", &json!(number)).await?;
        }
    }
    let shares = (answered(&a, "0").await?, answered(&b, "0").await?);
    ensure!(
        shares.0 > 0.0 && shares.1 > 0.0 && (shares.0 + shares.1 - 40.0).abs() < 0.5,
        "{shares:?}"
    );
    let info = ask(&client, "info", "").await?;
    ensure!(info["result"]["nodes"].is_array(), "{info}");
    Ok(())
}

#[tokio::test]
async fn commands_and_batches_are_answered_as_over_http() -> Result<()> {
    let nats = users::server().start().await?;
    let gateway = start(asked("a", &nats.url())).await?;
    let client = async_nats::connect(nats.url()).await?;
    let commands = json!([
        { "publish": { "channel": "room", "data": 1 } },
        { "publish": { "channel": "unknown:room", "data": 2 } },
    ]);
    let batch = json!({ "commands": commands });
    let over_nats = ask(&client, "batch", &batch).await?;
    ensure!(over_nats["replies"][1]["error"]["code"] == 102, "{over_nats}");
    ensure!(over_nats == gateway.api("batch", &batch).await?);

    let lines = "{\"id\": 7, \"method\": \"publish\", \"params\": {\"channel\": \"room\", \"data\": 1}}";
    let answer = ask(&client, "", lines).await?;
    ensure!(answer == json!({ "id": 7, "result": {} }), "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_an_error_in_the_same_shape() -> Result<()> {
    let nats = users::server().start().await?;
    let gateway = start(asked("a", &nats.url()).env("NATTER_HTTP_BODY_MAX_SIZE", "2KiB")).await?;
    let client = async_nats::connect(nats.url()).await?;
    for garbage in ["no json", "[]", "{\"channel\":", "\u{0}", "null"] {
        for method in API_METHODS
            .into_iter()
            .filter(|method| *method != "info")
            .chain([""])
        {
            let code = code(&client, method, garbage).await?;
            ensure!(code == 107, "{method} {garbage}: {code}");
        }
    }
    ensure!(code(&client, "no_such_method", "{}").await? == 104);
    ensure!(code(&client, "publish", " ".repeat(2049)).await? == 106);
    ensure!(code(&client, "publish", json!({ "channel": "no:room", "data": 1 })).await? == 102);
    // Nobody waits for an answer, and the call is carried out.
    let mut member = member(&gateway, "room").await?;
    let body = json!({ "channel": "room", "data": "sent" }).to_string();
    client
        .publish(format!("{PREFIX}.api.publish"), body.into())
        .await?;
    expect(&mut member, "room", &json!("sent")).await?;
    ensure!(answered(&gateway, "104").await? > 0.5);
    let unknown = [("method", "unknown"), ("code", "104")];
    ensure!(metric(&gateway, "natter_api_requests_total", &unknown).await? > 0.5);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_goes_takes_no_more_calls() -> Result<()> {
    let nats = users::server().start().await?;
    let slow = |name| {
        asked(name, &nats.url())
            .env("NATTER_DRAIN_ACCEPT", "5s")
            .env("NATTER_DRAIN_DEADLINE", "30s")
    };
    let (a, b) = tokio::try_join!(start(slow("a")), start(slow("b")))?;
    let client = async_nats::connect(nats.url()).await?;
    let publish = json!({ "channel": "room", "data": 1 });
    // Calls go on all the while, and none is lost.
    let asking = {
        let (client, publish) = (client.clone(), publish.clone());
        tokio::spawn(async move {
            for _ in 0..300 {
                let answer = ask(&client, "publish", &publish).await?;
                ensure!(answer == json!({ "result": {} }), "{answer}");
            }
            Ok(())
        })
    };
    a.terminate()?;
    a.wait_log(|line| line.message() == "leaving", LIMIT).await?;
    asking.await??;
    let before = answered(&a, "0").await?;
    for _ in 0..40 {
        ask(&client, "publish", &publish).await?;
    }
    ensure!(
        (answered(&a, "0").await? - before).abs() < 0.5,
        "a still takes calls"
    );
    ensure!(answered(&b, "0").await? > 39.5);
    Ok(())
}

#[tokio::test]
async fn calls_come_back_with_nats_and_not_unasked() -> Result<()> {
    let nats = users::server().start().await?;
    let silent = support::gateway("silent", nats.url()).await?;
    let client = async_nats::connect(nats.url()).await?;
    let refused = client
        .request(format!("{PREFIX}.api.info"), "{}".into())
        .await
        .err()
        .context("somebody answered")?;
    ensure!(refused.kind() == RequestErrorKind::NoResponders, "{refused}");
    drop(silent);

    let gateway = start(asked("a", &nats.url())).await?;
    nats.restart().await?;
    wait_bus(&gateway, "up").await?;
    eventually("calls are answered again", LIMIT, async || {
        let answer = ask(&client, "info", "{}").await?;
        ensure!(answer["result"]["nodes"].is_array(), "{answer}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_embedded_bus_is_refused_by_name() -> Result<()> {
    let finished = Gateway::builder()
        .config("api: { nats: true }")
        .run(&["check-config", "--config", "{config}"], Duration::from_secs(20))
        .await?;
    let text = finished.stderr.join("\n");
    ensure!(
        finished.status.code() == Some(64) && text.contains("api.nats: true without bus.nats"),
        "{text}"
    );
    Ok(())
}

//! Backends: calls with one key, wrong keys, bodies.

use anyhow::{Result, ensure};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::scene::LIMIT;

async fn gateway(config: &str) -> Result<Gateway> {
    Gateway::builder().config(config).start().await
}

async fn ask(gateway: &Gateway, path: &str, key: &str, mode: &str, body: &Value) -> Result<Response> {
    let request = Client::new()
        .post(format!("{}{path}", gateway.http_url()))
        .header("x-api-key", key)
        .header("x-centrifugo-error-mode", mode)
        .body(body.to_string());
    Ok(request.send().await?)
}

async fn limited(gateway: &Gateway, limit: &str) -> Result<f64> {
    let metrics = gateway.metrics().await?;
    Ok(metrics
        .value("natter_limited_total", &[("limit", limit)])
        .unwrap_or_default())
}

fn is_429(answer: &Response) -> bool {
    answer.status() == StatusCode::TOO_MANY_REQUESTS && answer.headers()["retry-after"] == "1"
}

#[tokio::test]
async fn calls_with_one_key() -> Result<()> {
    let gateway = gateway("api: {keys: [natter-tests, another-key], rate_limit: 1}").await?;
    let call = json!({ "info": {} });
    let batch = json!({ "commands": vec![call; 20] });
    let answer = ask(&gateway, "/api/batch", API_KEY, "", &batch).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    let replies: Value = answer.json().await?;
    let replies = replies["replies"].as_array().cloned().unwrap_or_default();
    let refused = replies
        .iter()
        .filter(|reply| reply["error"]["code"] == 111)
        .count();
    ensure!(replies.len() == 20 && (14..=18).contains(&refused), "{replies:?}");
    ensure!(limited(&gateway, "api_calls").await? >= 14.0);

    // By the form of each door.
    let body = json!({ "channel": "a", "data": 1 });
    let mut forms = [false; 3];
    for _ in 0..30 {
        let plain = ask(&gateway, "/api/publish", API_KEY, "", &body).await?;
        forms[0] |= plain.status() == StatusCode::OK && plain.text().await?.contains("111");
        forms[1] |= is_429(&ask(&gateway, "/api/publish", API_KEY, "transport", &body).await?);
        let message = json!({ "data": 1 });
        forms[2] |= is_429(&ask(&gateway, "/v1/rooms/a/messages", API_KEY, "", &message).await?);
    }
    ensure!(forms == [true; 3], "{forms:?}");

    let other = ask(&gateway, "/api/info", "another-key", "transport", &json!({})).await?;
    ensure!(
        other.status() == StatusCode::OK,
        "the other key is refused as well"
    );
    eventually("the key is good again", LIMIT, async || {
        let answer = ask(&gateway, "/api/info", API_KEY, "transport", &json!({})).await?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        anyhow::Ok(())
    })
    .await
}

#[tokio::test]
async fn wrong_keys_are_slowed_and_good_ones_are_not() -> Result<()> {
    let gateway = gateway("api: {keys: [natter-tests], wrong_key_limit: 1}").await?;
    let mut statuses = [0, 0];
    for number in 0..30 {
        let path = ["/api/info", "/v1/rooms/a/messages"][number % 2];
        let answer = ask(&gateway, path, "wrong-key", "", &json!({})).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => statuses[0] += 1,
            _ if is_429(&answer) => {
                ensure!(answer.headers()["connection"] == "close");
                statuses[1] += 1;
            }
            status => anyhow::bail!("{status}"),
        }
        let good = ask(&gateway, "/api/info", API_KEY, "transport", &json!({})).await?;
        ensure!(good.status() == StatusCode::OK, "{}", good.status());
    }
    ensure!(statuses[0] >= 2 && statuses[1] >= 2, "{statuses:?}");
    ensure!(limited(&gateway, "wrong_keys").await? >= 2.0);
    Ok(())
}

#[tokio::test]
async fn bodies_that_never_end_or_never_come() -> Result<()> {
    let gateway =
        gateway("{api: {keys: [natter-tests]}, http: {body_max_size: 4KiB, request_timeout: 500ms}}").await?;
    let head = format!("POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: {API_KEY}\r\n");
    for (rest, status) in [
        // Ten MiB are promised, and refused before they are read.
        ("Content-Length: 10485760\r\n\r\n".to_owned(), "413"),
        // Chunks that do not end.
        (
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{}",
                "400\r\n".to_owned() + &"x".repeat(0x400) + "\r\n"
            )
            .repeat(1)
                + &("400\r\n".to_owned() + &"x".repeat(0x400) + "\r\n").repeat(8),
            "413",
        ),
        // A body that is promised and does not come.
        ("Content-Length: 100\r\n\r\n{".to_owned(), "408"),
    ] {
        let mut socket = RawSocket::connect(gateway.public()).await?;
        socket.write(format!("{head}{rest}").as_bytes()).await?;
        let answer = tokio::time::timeout(LIMIT, socket.read_head()).await??;
        ensure!(answer.split(' ').nth(1) == Some(status), "{status}: {answer}");
    }
    let metrics = gateway.metrics().await?;
    for (code, times) in [("413", 2.0), ("408", 1.0)] {
        let labels = [("method", "publish"), ("code", code)];
        let counted = metrics.value("natter_api_requests_total", &labels);
        ensure!(counted == Some(times), "{code}: {counted:?}");
    }
    let mut socket = RawSocket::connect(gateway.public()).await?;
    let head = format!("POST /v1/rooms/a/messages HTTP/1.1\r\nHost: a\r\nX-API-Key: {API_KEY}\r\n");
    let body = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    socket.write(format!("{head}{body}").as_bytes()).await?;
    let answer = tokio::time::timeout(LIMIT, socket.read_head()).await??;
    ensure!(answer.split(' ').nth(1) == Some("408"), "{answer}");
    let metrics = gateway.metrics().await?;
    let labels = [("method", "publish_message"), ("code", "408")];
    let counted = metrics.value("natter_api_requests_total", &labels);
    ensure!(counted == Some(1.0), "{counted:?}");
    Ok(())
}

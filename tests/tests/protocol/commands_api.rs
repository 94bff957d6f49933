//! The server API: several calls in one request, and errors by their status.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::scene::{Scene, member};

const KEY: Option<&str> = Some("natter-tests");

#[tokio::test]
async fn a_batch_does_what_its_commands_say() -> Result<()> {
    let scene = Scene::open("").await?;
    let (mut a, mut b) = (
        member(&scene.gateway, "a").await?,
        member(&scene.gateway, "b").await?,
    );
    let watch = scene.watch().await?;
    let publish = |channel: &str, n: u32| json!({ "publish": { "channel": channel, "data": n } });
    let commands = json!([
        publish("a", 1),
        publish("nowhere:x", 2),
        publish("b", 3),
        publish("a", 4)
    ]);
    for parallel in [false, true] {
        let request = json!({ "commands": commands, "parallel": parallel });
        let replies = json!([
            { "publish": {} },
            { "error": { "code": 102, "message": "unknown channel" } },
            { "publish": {} },
            { "publish": {} },
        ]);
        assert_eq!(
            scene.gateway.api("batch", &request).await?,
            json!({ "replies": replies })
        );
        let mut said = [a.push().await?, a.push().await?].map(|push| push["pub"]["data"].as_u64());
        said.sort_unstable(); // side by side there is no order
        assert_eq!(said, [Some(1), Some(4)]);
        assert_eq!(b.push().await?["pub"]["data"], 3);
    }
    for (method, code, count) in [("batch", "0", 2), ("publish", "0", 6), ("publish", "102", 2)] {
        watch
            .counted(
                "natter_api_requests_total",
                &[("method", method), ("code", code)],
                count,
            )
            .await?;
    }
    scene.untroubled().await
}

/// What Centrifugo's older libraries send, and the key at the other places where they may put it.
#[tokio::test]
async fn commands_name_their_method_in_the_body() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = member(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let http = reqwest::Client::new();
    let url = format!("{}/api", scene.gateway.http_url());
    let body = concat!(
        r#"{"id":1,"method":"publish","params":{"channel":"room","data":{"n":1}}}"#,
        "\n",
        r#"{"id":2,"method":"channels","params":{"pattern":"roo*"}}"#,
    );
    let asked = [
        http.post(&url).header("Authorization", "apikey natter-tests"),
        http.post(format!("{url}?api_key=natter-tests")),
    ];
    for request in asked {
        let response = request.body(body).send().await?;
        assert_eq!(response.status(), 200);
        let text = response.text().await?;
        let (first, second) = text.split_once('\n').context("two lines")?;
        assert_eq!(first, r#"{"id":1,"result":{}}"#);
        let channels = json!({ "room": { "num_clients": 1 } });
        assert_eq!(
            serde_json::from_str::<Value>(second)?,
            json!({ "id": 2, "result": { "channels": channels } })
        );
        assert_eq!(client.push().await?["pub"]["data"], json!({ "n": 1 }));
    }
    assert_eq!(http.post(&url).body(body).send().await?.status(), 401);
    for (method, code, count) in [("commands", "0", 2), ("commands", "401", 1), ("channels", "0", 2)] {
        watch
            .counted(
                "natter_api_requests_total",
                &[("method", method), ("code", code)],
                count,
            )
            .await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn errors_come_by_their_status_when_asked_for() -> Result<()> {
    let scene = Scene::open("").await?;
    let request = json!({ "channel": "nowhere:room", "data": 1 }).to_string();
    let url = format!("{}/api/publish", scene.gateway.http_url());
    let response = reqwest::Client::new()
        .post(&url)
        .header("X-API-Key", "natter-tests")
        .header("X-Centrifugo-Error-Mode", "transport")
        .body(request.clone())
        .send()
        .await?;
    assert_eq!(response.status(), 404);
    let error: Value = serde_json::from_str(&response.text().await?)?;
    assert_eq!(error, json!({ "code": 102, "message": "unknown channel" }));
    assert_eq!(scene.gateway.api_raw("publish", KEY, request).await?.0, 200);
    scene.untroubled().await
}

//! Commands that break the rules of the protocol and end the connection.

use anyhow::Result;
use natter_tests::client::Client;
use natter_tests::raw::{Frame, RawSocket};
use serde_json::json;

use crate::raw_member::PATH;
use crate::scene::{Scene, connected};

const BAD_REQUEST: (u16, &str) = (3501, "bad request");

/// What ends a connection with 3501, and the kind under which it is counted.
const REFUSED: &[(&str, &str)] = &[
    ("", "empty"),
    ("\n \r\n", "empty"),
    ("garbage", "syntax"),
    ("{\"id\":2,\"rpc\":{}", "syntax"),
    ("{\"id\":2,\n\"rpc\":{}}", "syntax"),
    (
        "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":\"a\tb\"}}",
        "syntax",
    ),
    ("[]", "data"),
    ("\"rpc\"", "data"),
    ("{\"id\":\"2\",\"rpc\":{}}", "data"),
    ("{\"id\":-1,\"rpc\":{}}", "data"),
    ("{\"id\":1.5,\"rpc\":{}}", "data"),
    ("{\"id\":4294967296,\"rpc\":{}}", "data"),
    ("{\"id\":2,\"subscribe\":[\"room\"]}", "data"),
    ("{\"id\":2,\"subscribe\":{\"channel\":7}}", "data"),
    (
        "{\"id\":2,\"subscribe\":{\"channel\":{\"name\":\"room\"}}}",
        "data",
    ),
    ("{\"id\":2,\"publish\":\"room\"}", "data"),
    (
        "{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":\"many\"}}",
        "data",
    ),
    ("{\"rpc\":{}}", "missing_id"),
    ("{\"id\":0,\"subscribe\":{\"channel\":\"a\"}}", "missing_id"),
    ("{\"id\":2}", "unknown_command"),
    ("{\"id\":2,\"teleport\":{}}", "unknown_command"),
    (
        "{\"id\":2,\"rpc\":{},\"publish\":{\"channel\":\"a\",\"data\":1}}",
        "ambiguous",
    ),
    ("{\"id\":2,\"connect\":{}}", "second_connect"),
    ("{\"id\":2,\"ping\":{}}", "ping_command"),
    ("{}", "unexpected_pong"),
    ("{\"teleport\":{}}", "unexpected_pong"),
    ("{\"id\":2,\"subscribe\":{}}", "missing_channel"),
    ("{\"id\":2,\"unsubscribe\":{\"channel\":\"\"}}", "missing_channel"),
    ("{\"id\":2,\"publish\":{\"data\":1}}", "missing_channel"),
];

#[tokio::test]
async fn a_command_against_the_rules_closes_with_3501_and_is_counted_by_kind() -> Result<()> {
    let scene = Scene::open("").await?;
    for (frame, kind) in REFUSED {
        let mut client = connected(&scene.gateway).await?;
        let watch = scene.watch().await?;
        client.send_text(*frame).await?;
        let (code, reason) = client.close_frame().await?;
        assert_eq!((code, reason.as_str()), BAD_REQUEST, "{frame:?}");
        watch
            .counted("natter_protocol_errors_total", &[("kind", kind)], 1)
            .await?;
        watch.counted("natter_protocol_errors_total", &[], 1).await?;
        watch.ended("bad_request").await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn the_log_tells_of_a_bad_command_once_and_of_a_flood_in_one_line() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    let mut client = connected(&scene.gateway).await?;
    client.send_text("not json").await?;
    client.close_frame().await?;
    watch.cut("bad_request", 3501).await?;
    watch
        .logged(
            "DEBUG",
            "undecodable command",
            &[("error", json!("malformed JSON at byte 2"))],
        )
        .await?;
    let mut flood = Vec::new();
    for _ in 0..60 {
        flood.push(RawSocket::upgraded(scene.gateway.public(), PATH).await?);
    }
    for socket in &mut flood {
        socket.write_frame(&Frame::text("not json")).await?;
    }
    watch
        .counted("natter_disconnects_total", &[("reason", "bad_request")], 61)
        .await?;
    let message = "more lines of this cause left out";
    watch
        .logged("INFO", message, &[("cause", json!("bad_request"))])
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn the_first_command_must_be_connect() -> Result<()> {
    let scene = Scene::open("").await?;
    for command in [
        json!({ "id": 1, "publish": { "channel": "bystanders", "data": "intruder" } }),
        json!({ "id": 1, "subscribe": { "channel": "bystanders" } }),
        json!({ "id": 1, "rpc": {} }),
        json!({ "send": {} }),
        json!({}),
    ] {
        let watch = scene.watch().await?;
        let mut client = Client::connect(&scene.gateway.ws_url()).await?;
        client.send(&command).await?;
        let (code, reason) = client.close_frame().await?;
        assert_eq!((code, reason.as_str()), BAD_REQUEST, "{command}");
        watch
            .counted("natter_protocol_errors_total", &[("kind", "not_connected")], 1)
            .await?;
        watch.cut("bad_request", 3501).await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn send_without_a_backend_closes_with_3508() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = connected(&scene.gateway).await?;
    let watch = scene.watch().await?;
    client.send(&json!({ "send": { "data": {} } })).await?;
    assert_eq!(client.close_frame().await?, (3508, "not available".to_owned()));
    watch
        .counted("natter_commands_total", &[("command", "send")], 1)
        .await?;
    watch.cut("not_available", 3508).await?;
    scene.untroubled().await
}

/// As the reference server does: what was done before the offence is told, what comes after it in the frame is not done.
#[tokio::test]
async fn a_batch_is_answered_up_to_the_offence() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = connected(&scene.gateway).await?;
    let watch = scene.watch().await?;
    client
        .send_batch(&[
            json!({ "id": 2, "publish": { "channel": "elsewhere", "data": 1 } }),
            json!({ "id": 3, "ping": {} }),
            json!({ "id": 4, "publish": { "channel": "bystanders", "data": "intruder" } }),
        ])
        .await?;
    assert_eq!(client.close_frame().await?.0, 3501);
    let replies: Vec<_> = client.waiting().collect();
    assert_eq!(replies, [&json!({ "id": 2, "publish": {} })]);
    watch
        .counted("natter_protocol_errors_total", &[("kind", "ping_command")], 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn an_identity_that_cannot_be_checked_is_refused() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    let mut client = Client::connect(&scene.gateway.ws_url()).await?;
    client
        .send(&json!({ "id": 1, "connect": { "token": "eyJhbGciOiJub25lIn0.e30." } }))
        .await?;
    assert_eq!(client.close_frame().await?, (3500, "invalid token".to_owned()));
    watch.cut("invalid_token", 3500).await?;
    let log: Vec<_> = scene.gateway.logs().into_iter().map(|line| line.text).collect();
    assert!(!log.concat().contains("eyJ"), "a token is in the log");
    scene.untroubled().await
}

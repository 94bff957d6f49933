//! Payloads reach the members as they were written, whatever a JSON parser would make of them.

pub(crate) mod bytes;
mod doors;

use anyhow::Result;
use natter_tests::raw::Frame;
use serde_json::{Value, json};

use crate::raw_member::RawMember;
use crate::scene::{Scene, connected};

const KEY: Option<&str> = Some("natter-tests");

/// Texts that many JSON libraries cannot carry through unharmed.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "null",
        "false",
        "0",
        "-0.0",
        "\"\"",
        "{}",
        "123456789012345678901234567890.000000000000000000001",
        "1e400",
        "{\"z\":1,\"a\":2,\"z\":3}",
        "\"\\ud83d\"",
        "\"\\u0000\\n\\/\\ud83d\\ude00\"",
        "\"\u{2028}\u{7f}\u{1f600}\u{0301}\"",
        "{ \"spaced\" :\t[ 1 , 2 ] }",
        "\",\\\"info\\\":{\\\"user\\\":\"",
    ]
    .map(str::to_owned)
    .into();
    texts.push("[".repeat(30_000) + &"]".repeat(30_000));
    texts.push("{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000));
    texts
}

#[tokio::test]
async fn payloads_are_relayed_byte_by_byte() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    for text in texts() {
        let command = format!("{{\"id\":3,\"publish\":{{\"channel\":\"room\",\"data\":{text}}}}}");
        member.socket.write_frame(&Frame::text(command)).await?;
        assert_eq!(member.data().await?, text, "by a client");
        let body = format!("{{\"channel\":\"room\",\"data\":{text}}}");
        let answer = scene.gateway.api_raw("publish", KEY, body).await?;
        assert_eq!(answer, (200, "{\"result\":{}}".to_owned()));
        assert_eq!(member.data().await?, text, "by the server");
    }
    scene.untroubled().await
}

/// Replies and pushes are separated by newlines, so a payload must not hold any; blanks between tokens are no content.
#[tokio::test]
async fn newlines_between_tokens_are_left_out() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    let body = "{\n \"channel\": \"room\",\r\n \"data\": {\r\n  \"a\": [1,\n2],\n  \"b\": \"x\\ny\"\n }\n}";
    scene.gateway.api_raw("publish", KEY, body).await?;
    assert_eq!(member.data().await?, "{  \"a\": [1,2],  \"b\": \"x\\ny\" }");
    // From a client only a carriage return can get this far: a newline would end the command.
    let command = "{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":[1,\r2]}}";
    member.socket.write_frame(&Frame::text(command)).await?;
    assert_eq!(member.data().await?, "[1,2]");
    scene.untroubled().await
}

#[tokio::test]
async fn what_is_no_json_reaches_nobody() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    for text in [
        "tru",
        "01",
        "'a'",
        "{\"a\":1,}",
        "NaN",
        "\"\\x\"",
        "\"a",
        "[1",
        "1 2",
    ] {
        let mut client = connected(&scene.gateway).await?;
        client
            .send_text(format!(
                "{{\"id\":3,\"publish\":{{\"channel\":\"room\",\"data\":{text}}}}}"
            ))
            .await?;
        assert_eq!(client.close_frame().await?.0, 3501, "{text}");
        let body = format!("{{\"channel\":\"room\",\"data\":{text}}}");
        assert_eq!(
            scene.gateway.api_raw("publish", KEY, body).await?.0,
            400,
            "{text}"
        );
    }
    // Half a character, which is no text at all, and binary data that is no JSON.
    for bytes in ["/w==", "e30K/w==", "bm90IGpzb24=", "not base64!"] {
        let body = json!({ "channel": "room", "b64data": bytes });
        let (status, body) = scene.gateway.api_raw("publish", KEY, body.to_string()).await?;
        let answer: Value = serde_json::from_str(&body)?;
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(107)), "{bytes}");
    }
    scene
        .gateway
        .api("publish", &json!({ "channel": "room", "data": "next" }))
        .await?;
    assert_eq!(member.data().await?, "\"next\"", "nothing came before it");
    scene.untroubled().await
}

#[tokio::test]
async fn base64_data_is_relayed_as_the_json_that_it_holds() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    for (b64data, text) in [
        ("eyJiIjogMWU0MDAsICJhIjogMX0=", "{\"b\": 1e400, \"a\": 1}"),
        ("bnVsbA==", "null"),
        ("WwoxCl0=", "[1]"),
    ] {
        scene
            .gateway
            .api("publish", &json!({ "channel": "room", "b64data": b64data }))
            .await?;
        assert_eq!(member.data().await?, text);
    }
    // Encoders that leave nothing out write null for the field that was not set.
    scene
        .gateway
        .api(
            "publish",
            &json!({ "channel": "room", "data": null, "b64data": "MQ==", "tags": null }),
        )
        .await?;
    assert_eq!(member.data().await?, "1");
    scene
        .gateway
        .api(
            "publish",
            &json!({ "channel": "room", "data": 2, "b64data": null }),
        )
        .await?;
    assert_eq!(member.data().await?, "2");
    scene.untroubled().await
}

/// Nesting that would exhaust a stack, in places where something is parsed.
#[tokio::test]
async fn depth_anywhere_harms_nobody() -> Result<()> {
    let scene = Scene::open("").await?;
    let deep = "[".repeat(15_000) + &"]".repeat(15_000);
    for (command, expected) in [
        (format!("{{\"id\":{deep}}}"), None),
        (format!("{{\"id\":3,\"subscribe\":{deep}}}"), None),
        (format!("{{\"id\":3,\"subscribe\":{{\"channel\":{deep}}}}}"), None),
        (format!("{{\"id\":3,\"connect\":{{\"headers\":{deep}}}}}"), None),
        (deep.clone(), None),
        (
            format!("{{\"id\":3,\"subscribe\":{{\"channel\":\"a\",\"tf\":{deep}}}}}"),
            Some(json!(107)),
        ),
        (
            format!("{{\"id\":3,\"future\":{deep},\"rpc\":{{\"data\":{deep}}}}}"),
            Some(json!(108)),
        ),
        (
            format!("{{\"id\":3,\"publish\":{{\"channel\":\"a\",\"x\":{deep},\"data\":1}}}}"),
            Some(Value::Null),
        ),
    ] {
        let mut client = connected(&scene.gateway).await?;
        client.send_text(command.as_str()).await?;
        match expected {
            None => assert_eq!(client.close_frame().await?.0, 3501, "{}", &command[..50]),
            Some(code) => assert_eq!(client.recv().await?["error"]["code"], code, "{}", &command[..50]),
        }
    }
    for (method, body, status) in [
        (
            "publish",
            format!("{{\"channel\":\"a\",\"data\":1,\"x\":{deep}}}"),
            200,
        ),
        (
            "publish",
            format!("{{\"channel\":\"a\",\"data\":1,\"tags\":{deep}}}"),
            400,
        ),
        ("disconnect", format!("{{\"user\":\"42\",\"x\":{deep}}}"), 400),
        ("channels", format!("{{\"pattern\":{deep}}}"), 400),
    ] {
        let answer = scene.gateway.api_raw(method, KEY, body).await?;
        assert_eq!(answer.0, status, "{method}: {}", answer.1);
    }
    scene.untroubled().await
}

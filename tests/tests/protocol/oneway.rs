//! Clients that only listen: what they want stands in their request, and everything they get is a bare push.

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::raw::RawSocket;
use reqwest::{Client as Http, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::scene::{LIMIT, Scene};
use crate::streams::{Stream, emulate};

const ROOMS: &str = "
client:
  user_id_header: x-user
  anonymous: allow
  subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: me}
rooms:
  namespaces:
    - {name: me, subscribe: users, publish: server}
    - {name: kept, subscribe: anyone, publish: anyone, history: {size: 100, ttl: 1h, read: anyone, force_recovery: true}}
    - {name: pushed, subscribe: server, publish: server}
    - {name: bytes, subscribe: anyone, publish: anyone, payload: binary}
    - {name: news, subscribe: anyone, publish: server, tags_filter: true}
";

/// Somebody who listens, by any of the ways.
enum Listener {
    Stream(Stream),
    Socket(Box<Client>),
}

impl Listener {
    async fn next(&mut self) -> Result<Value> {
        match self {
            Self::Stream(stream) => stream.message().await,
            Self::Socket(client) => client.recv().await,
        }
    }

    /// The last words.
    async fn end(mut self) -> Result<(u64, String)> {
        match &mut self {
            Self::Stream(stream) => {
                let push = stream.message().await?;
                ensure!(stream.next().await?.is_none(), "it goes on");
                let end = &push["disconnect"];
                let code = end["code"].as_u64().with_context(|| push.to_string())?;
                Ok((code, end["reason"].as_str().unwrap_or_default().to_owned()))
            }
            Self::Socket(client) => {
                let (code, reason) = client.close_frame().await?;
                Ok((code.into(), reason))
            }
        }
    }
}

fn url(scene: &Scene, path: &str, request: Option<&Value>) -> Result<Url> {
    let mut url = Url::parse(&format!("{}/connection/{path}", scene.gateway.http_url()))?;
    if let Some(request) = request {
        url.query_pairs_mut()
            .append_pair("cf_connect", &request.to_string());
    }
    Ok(url)
}

fn socket_url(scene: &Scene, request: Option<&Value>) -> Result<String> {
    Ok(url(scene, "uni_websocket", request)?
        .as_str()
        .replacen("http", "ws", 1))
}

/// Every way to ask for the same.
async fn listeners(scene: &Scene, request: &Value) -> Result<Vec<(&'static str, Listener)>> {
    let stream = async |asked: RequestBuilder| anyhow::Ok(Listener::Stream(Stream::open(asked).await?));
    let http = Http::new();
    let body = request.to_string();
    let mut silent = Client::connect(&socket_url(scene, None)?).await?;
    silent.answer_pings(false);
    silent.send(request).await?;
    let mut asked = Client::connect(&socket_url(scene, Some(request))?).await?;
    asked.answer_pings(false);
    Ok(vec![
        (
            "sse, in the address",
            stream(http.get(url(scene, "uni_sse", Some(request))?)).await?,
        ),
        (
            "sse, posted",
            stream(http.post(url(scene, "uni_sse", None)?).body(body.clone())).await?,
        ),
        (
            "http stream",
            stream(http.post(url(scene, "uni_http_stream", None)?).body(body)).await?,
        ),
        ("websocket", Listener::Socket(silent.into())),
        ("websocket, in the address", Listener::Socket(asked.into())),
    ])
}

#[tokio::test]
async fn everybody_gets_what_they_asked_for_as_bare_pushes() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let publish = async |data: Value| {
        scene
            .gateway
            .api("publish", &json!({ "channel": "kept:a", "data": data }))
            .await
    };
    publish(json!(1)).await?;
    let request = json!({ "subs": { "kept:a": {}, "b": {}, "pushed:a": {}, "bytes:a": {}, "me:#42": {} }, "name": "curl" });
    let mut listeners = listeners(&scene, &request).await?;
    for (how, listener) in &mut listeners {
        let push = listener.next().await?;
        let connect = &push["connect"];
        ensure!(
            connect["client"].is_string() && connect["session"].is_string(),
            "{how}: {push}"
        );
        ensure!(
            connect["ping"] == 25 && connect.get("pong").is_none() && connect.get("node").is_none(),
            "{how}: {push}"
        );
        let subs = connect["subs"].as_object().with_context(|| push.to_string())?;
        ensure!(
            subs.len() == 2 && subs["b"] == json!({}) && subs["kept:a"]["offset"] == 1,
            "{how}: {push}"
        );
    }
    publish(json!(2)).await?;
    for (how, listener) in &mut listeners {
        let expected = json!({ "channel": "kept:a", "pub": { "data": 2, "offset": 2 } });
        let push = listener.next().await?;
        ensure!(
            push["channel"] == expected["channel"] && push["pub"]["data"] == 2 && push["pub"]["offset"] == 2,
            "{how}: {push}"
        );
    }
    scene.untroubled().await
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_with_the_first_push() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut epoch = Value::Null;
    for number in 1..=3 {
        let answer = scene
            .gateway
            .api("publish", &json!({ "channel": "kept:a", "data": number }))
            .await?;
        epoch = answer["result"]["epoch"].clone();
    }
    let request = json!({ "subs": { "kept:a": { "recover": true, "epoch": epoch, "offset": 1 } } });
    for (how, mut listener) in listeners(&scene, &request).await? {
        let push = listener.next().await?;
        let room = &push["connect"]["subs"]["kept:a"];
        let offsets: Vec<_> = room["publications"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| &one["offset"])
            .collect();
        ensure!(
            room["recovered"] == true && offsets == [&json!(2), &json!(3)],
            "{how}: {push}"
        );
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_room_is_filtered_as_asked_for_or_left_out() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let only = |lang: &str| json!({ "tf": { "key": "lang", "cmp": "eq", "val": lang } });
    let request = json!({ "subs": {
        "news:a": only("en"),
        "news:b": {},
        // Nobody shall hear everything who asks for less.
        "news:c": { "tf": { "op": "xor", "nodes": [] } },
        "news:d": { "tf": "lang=en" },
        "kept:a": only("en"),
    } });
    let mut listeners = listeners(&scene, &request).await?;
    for (how, listener) in &mut listeners {
        let push = listener.next().await?;
        assert_eq!(
            push["connect"]["subs"],
            json!({ "news:a": {}, "news:b": {} }),
            "{how}"
        );
    }
    for (channel, lang) in [("news:a", "de"), ("news:a", "en"), ("news:b", "de")] {
        let message = json!({ "channel": channel, "data": lang, "tags": { "lang": lang } });
        scene.gateway.api("publish", &message).await?;
    }
    for (how, listener) in &mut listeners {
        let mut heard = [listener.next().await?, listener.next().await?].map(|push| {
            let (channel, data) = (&push["channel"], &push["pub"]["data"]);
            format!("{channel} {data}")
        });
        // Rooms keep no order among each other.
        heard.sort();
        assert_eq!(heard, ["\"news:a\" \"en\"", "\"news:b\" \"de\""], "{how}");
    }
    scene.untroubled().await
}

/// A user is in the room of that user without asking, and the API reaches a session by its name.
#[tokio::test]
async fn the_server_subscribes_and_ends_who_only_listens() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    for path in ["uni_sse", "uni_http_stream"] {
        let asked = Http::new()
            .post(url(&scene, path, None)?)
            .header("x-user", "42")
            .body("{}");
        let mut stream = Stream::open(asked).await?;
        let push = stream.message().await?;
        assert_eq!(push["connect"]["subs"], json!({ "me:#42": {} }), "{path}");
        let session = &push["connect"]["session"];
        scene
            .gateway
            .api(
                "subscribe",
                &json!({ "session": session, "channel": "pushed:a", "data": [7] }),
            )
            .await?;
        assert_eq!(
            stream.message().await?,
            json!({ "channel": "pushed:a", "subscribe": { "data": [7] } })
        );
        scene
            .gateway
            .api("refresh", &json!({ "session": session }))
            .await?;
        assert_eq!(stream.message().await?, json!({ "refresh": {} }));
        scene
            .gateway
            .api(
                "unsubscribe",
                &json!({ "session": session, "channel": "pushed:a" }),
            )
            .await?;
        let push = stream.message().await?;
        assert_eq!(push["unsubscribe"]["code"], 2000, "{push}");
        // What is for those who speak is not for it, though it has a session of the same kind.
        let address = json!({ "session": session, "node": "" });
        let said = "{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}";
        assert_eq!(emulate(&scene, &address, said).await?, 404);
    }
    let request = json!({});
    for (how, mut listener) in listeners(&scene, &request).await? {
        let push = listener.next().await?;
        let disconnect =
            json!({ "client": push["connect"]["client"], "disconnect": { "code": 4000, "reason": "go" } });
        scene.gateway.api("disconnect", &disconnect).await?;
        assert_eq!(listener.end().await?, (4000, "go".to_owned()), "{how}");
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_refusal_is_an_ending() -> Result<()> {
    let scene = Scene::open("client: {channel_limit: 2}\n").await?;
    for (request, code) in [
        (json!({ "token": "nobody can check it" }), 3500),
        (json!({ "subs": { "a": {}, "b": {}, "c": {} } }), 3505),
    ] {
        for (how, listener) in listeners(&scene, &request).await? {
            assert_eq!(listener.end().await?.0, code, "{how}");
        }
    }
    scene.untroubled().await
}

#[tokio::test]
async fn pings_come_and_need_no_answer_and_whatever_else_is_said_means_nothing() -> Result<()> {
    let scene = Scene::open("client: {ping_interval: 1s, pong_timeout: 200ms}\n").await?;
    let mut listeners = listeners(&scene, &json!({})).await?;
    for (how, listener) in &mut listeners {
        ensure!(listener.next().await?["connect"].is_object(), "{how}");
        if let Listener::Socket(client) = listener {
            client
                .send_text("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}")
                .await?;
            client.send_text("no json").await?;
            client.send_binary(vec![0xff]).await?;
        }
    }
    for _ in 0..3 {
        for (how, listener) in &mut listeners {
            assert_eq!(listener.next().await?, json!({}), "{how}");
        }
    }
    scene.untroubled().await
}

#[tokio::test]
async fn requests_that_are_none_are_refused() -> Result<()> {
    let scene = Scene::open("client: {message_size_limit: 2048}\n").await?;
    let large = "x".repeat(3_000);
    for (method, path, body, status) in [
        ("POST", "uni_sse", "", 400),
        ("POST", "uni_sse", "[]", 400),
        ("POST", "uni_http_stream", "{\"subs\":7}", 400),
        ("POST", "uni_http_stream", large.as_str(), 413),
        ("GET", "uni_sse?cf_connect=%7B", "", 400),
        ("GET", "uni_http_stream", "", 405),
        ("PUT", "uni_sse", "{}", 405),
    ] {
        let asked = Http::new().request(method.parse()?, url(&scene, "", None)?.join(path)?);
        let answer = timeout(LIMIT, asked.body(body.to_owned()).send()).await??;
        ensure!(
            answer.status().as_u16() == status,
            "{method} {path}: {}",
            answer.status()
        );
    }
    let mut silent = Client::connect(&socket_url(&scene, None)?).await?;
    silent.send_text("{\"id\":1,\"connect\":[]}").await?;
    silent.recv().await?;
    let mut wrong = Client::connect(&socket_url(&scene, None)?).await?;
    wrong.send_text("{").await?;
    assert_eq!(wrong.close_frame().await?, (3501, "bad request".to_owned()));
    let head = "/connection/uni_websocket?cf_connect=%5B%5D";
    let refused = RawSocket::upgraded(scene.gateway.public(), head).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("400")));
    let empty = Http::new().get(url(&scene, "uni_sse", None)?);
    ensure!(Stream::open(empty).await?.message().await?["connect"].is_object());
    scene.untroubled().await
}

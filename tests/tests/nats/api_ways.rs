//! Every method of the server API by each of its ways: alone, in a batch, as a line of `POST /api`, and over NATS.

use anyhow::{Context, Result, ensure};
use async_nats::Client as Nats;
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, API_METHODS, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use reqwest::Client as Http;
use serde_json::{Value, json};

use crate::support::{LIMIT, PREFIX, builder, call, expect, identified, member, subscribe, wait_bus};
use crate::users;

const ROOMS: &str = "rooms:
  default: { subscribe: anyone, publish: anyone }
  namespaces:
    - { name: kept, subscribe: anyone, history: { size: 100, ttl: 1h, read: anyone } }
    - { name: seen, subscribe: anyone, presence: true }
";

/// Far enough for the run.
const IN_2100: u64 = 4_102_444_800;

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Alone,
    Batch,
    Line,
    Nats,
    BatchOverNats,
    LineOverNats,
}

const WAYS: [Way; 6] = [
    Way::Alone,
    Way::Batch,
    Way::Line,
    Way::Nats,
    Way::BatchOverNats,
    Way::LineOverNats,
];

struct Scene {
    _server: NatsServer,
    gateway: Gateway,
    nats: Nats,
    http: Http,
}

impl Scene {
    async fn open() -> Result<Self> {
        let server = users::server().jetstream().start().await?;
        let builder = builder("a", &server.url(), ROOMS).env("NATTER_API_NATS", "true");
        let gateway = builder.start().await?;
        wait_bus(&gateway, "up").await?;
        Ok(Self {
            nats: async_nats::connect(server.url()).await?,
            _server: server,
            gateway,
            http: Http::builder().no_proxy().timeout(LIMIT).build()?,
        })
    }

    /// What a way answers, as `{"result": …}` or `{"error": …}`.
    async fn ask(&self, way: Way, method: &str, body: &Value) -> Result<Value> {
        let batch = json!({ "commands": [{ method: body }] });
        let line = json!({ "id": 7, "method": method, "params": body });
        let answer = match way {
            Way::Alone => self.post(&format!("/{method}"), body).await?,
            Way::Batch => self.post("/batch", &batch).await?,
            Way::Line => self.post("", &line).await?,
            Way::Nats => self.request(&format!(".{method}"), body).await?,
            Way::BatchOverNats => self.request(".batch", &batch).await?,
            Way::LineOverNats => self.request("", &line).await?,
        };
        plain(way, method, answer)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/api{path}", self.gateway.http_url());
        let request = self.http.post(&url).header("x-api-key", API_KEY);
        let answer = request.body(body.to_string()).send().await?;
        ensure!(answer.status() == 200, "{url} {body}: {}", answer.status());
        let text = answer.text().await?;
        serde_json::from_str(&text).context(text)
    }

    async fn request(&self, method: &str, body: &Value) -> Result<Value> {
        let subject = format!("{PREFIX}.api{method}");
        let answer = self.nats.request(subject, body.to_string().into()).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }
}

/// Takes off what a way puts around an answer.
fn plain(way: Way, method: &str, mut answer: Value) -> Result<Value> {
    match way {
        Way::Alone | Way::Nats => {}
        Way::Batch | Way::BatchOverNats => {
            let replies = answer["replies"].as_array_mut().context("no replies")?;
            ensure!(replies.len() == 1, "{replies:?}");
            let mut reply = replies.remove(0);
            answer = if reply.get("error").is_some() {
                reply
            } else {
                json!({ "result": reply[method].take() })
            };
        }
        Way::Line | Way::LineOverNats => {
            let fields = answer.as_object_mut().context("no object")?;
            ensure!(fields.remove("id") == Some(json!(7)), "{answer}");
        }
    }
    Ok(answer)
}

/// Calls of every method but `batch`, in an order in which what one does is there for the next. They can be made again and
/// answer the same: what is stored has a key.
fn calls(ann: &str) -> Vec<(&'static str, Value)> {
    let since = json!({ "offset": 0, "epoch": "" });
    vec![
        (
            "publish",
            json!({ "channel": "kept:room", "data": { "number": 1 }, "tags": { "kind": "note" }, "idempotency_key": "1" }),
        ),
        ("publish", json!({ "channel": "room", "data": 2 })),
        (
            "broadcast",
            json!({ "channels": ["kept:room", "no:room", "room"], "data": 3, "idempotency_key": "3" }),
        ),
        ("history", json!({ "channel": "kept:room", "limit": 10 })),
        (
            "history",
            json!({ "channel": "kept:room", "limit": 1, "since": since }),
        ),
        ("history_remove", json!({ "channel": "kept:gone" })),
        ("presence", json!({ "channel": "seen:room" })),
        ("presence_stats", json!({ "channel": "seen:room" })),
        (
            "subscribe",
            json!({ "user": "ann", "client": ann, "channel": "room", "data": { "welcome": true }, "info": 1 }),
        ),
        (
            "refresh",
            json!({ "user": "ann", "client": ann, "expire_at": IN_2100, "info": { "name": "Ann" } }),
        ),
        ("info", json!({})),
        ("channels", json!({ "pattern": "*" })),
        (
            "unsubscribe",
            json!({ "user": "ann", "client": ann, "channel": "room" }),
        ),
        (
            "disconnect",
            json!({ "client": ann, "disconnect": { "code": 4321, "reason": "enough" } }),
        ),
        ("rpc", json!({ "method": "any", "params": {} })),
        ("block_user", json!({ "user": "eve", "expire_at": null })),
        ("unblock_user", json!({ "user": "eve" })),
        ("revoke_token", json!({ "uid": "lost" })),
        (
            "invalidate_user_tokens",
            json!({ "user": "eve", "channel": "room", "issued_before": 7 }),
        ),
        ("ban_user", json!({ "user": "eve", "channel": "room" })),
        ("unban_user", json!({ "user": "eve", "channel": "room" })),
        ("revocations", json!({ "user": "nobody", "limit": 10 })),
    ]
}

/// Calls that are refused, and the code of the error.
fn refused() -> Vec<(&'static str, Value, u32)> {
    let nobody = json!({ "channel": "room" });
    vec![
        ("publish", json!({ "channel": "room" }), 107),
        ("publish", json!({ "channel": "no:room", "data": 1 }), 102),
        (
            "publish",
            json!({ "channel": "kept:room", "data": "other", "idempotency_key": "1" }),
            107,
        ),
        ("broadcast", json!({ "channels": [], "data": 1 }), 107),
        ("history", json!({ "channel": "room" }), 108),
        (
            "history",
            json!({ "channel": "kept:room", "limit": 1, "since": { "offset": 1, "epoch": "no" } }),
            112,
        ),
        ("history_remove", json!({ "channel": "room" }), 108),
        ("presence", json!({ "channel": "room" }), 108),
        ("presence_stats", json!({ "channel": "no:room" }), 102),
        ("subscribe", nobody.clone(), 107),
        (
            "subscribe",
            json!({ "user": "ann", "channel": "room", "expire_at": 1 }),
            110,
        ),
        ("unsubscribe", nobody.clone(), 107),
        ("refresh", json!({ "expire_at": IN_2100 }), 107),
        (
            "disconnect",
            json!({ "user": "ann", "disconnect": { "code": 1, "reason": "" } }),
            107,
        ),
        ("rpc", json!({}), 107),
        ("block_user", json!({}), 107),
        ("block_user", json!({ "user": "eve", "expire_at": 7 }), 107),
        ("unblock_user", json!({ "user": "" }), 107),
        ("revoke_token", json!({ "uid": "x".repeat(1025) }), 107),
        (
            "invalidate_user_tokens",
            json!({ "user": "eve", "expire_at": 90_000_000_000_u64 }),
            107,
        ),
        ("ban_user", json!({ "user": "eve" }), 107),
        ("unban_user", json!({ "user": "eve", "channel": "no:room" }), 102),
        ("revocations", json!({ "limit": -1 }), 107),
    ]
}

/// What differs from one call to the next, whichever way it comes: time, and the ids of connections made for one way.
fn without_chance(mut answer: Value) -> Value {
    if let Some(nodes) = answer["result"]["nodes"].as_array_mut() {
        for node in nodes {
            node["uptime"] = json!("some seconds");
        }
    }
    answer
}

/// Ann is told of what is done to her.
async fn is_told(ann: &mut Client, method: &str) -> Result<()> {
    if method == "disconnect" {
        assert_eq!(ann.close_frame().await?, (4321, "enough".to_owned()));
        return Ok(());
    }
    let push = ann.push().await?;
    let is_due = match method {
        "subscribe" => push["subscribe"]["data"] == json!({ "welcome": true }),
        "refresh" => push["refresh"]["expires"] == true,
        _ => push["unsubscribe"]["code"] == 2000,
    };
    ensure!(is_due, "{method}: {push}");
    Ok(())
}

/// Waits until nobody is there but those who stay.
async fn wait_clients(gateway: &Gateway, expected: usize) -> Result<()> {
    eventually(&format!("{expected} are there"), LIMIT, async || {
        let info = call(gateway, "info", json!({})).await?;
        ensure!(info["nodes"][0]["num_clients"] == expected, "{info}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn all_methods_answer_the_same_by_every_way() -> Result<()> {
    let scene = Scene::open().await?;
    let _nobody = member(&scene.gateway, "seen:room").await?;
    let (mut client_of_bob, bob) = identified(&scene.gateway, "bob").await?;
    subscribe(&mut client_of_bob, "seen:room").await?;
    let mut reader = member(&scene.gateway, "room").await?;
    let mut first: Vec<Value> = Vec::new();
    for way in WAYS {
        let gone = json!({ "channel": "kept:gone", "data": 1 });
        call(&scene.gateway, "publish", gone).await?;
        let (mut ann, id) = identified(&scene.gateway, "ann").await?;
        let mut answers = Vec::new();
        for (method, body) in calls(&id) {
            let answer = scene.ask(way, method, &body).await?;
            ensure!(
                answer.get("result").is_some() || method == "rpc",
                "{way:?} {method} {body}: {answer}"
            );
            if body["client"] == id {
                is_told(&mut ann, method).await?;
            }
            answers.push(without_chance(answer));
        }
        wait_clients(&scene.gateway, 3).await?;
        expect(&mut reader, "room", &json!(2)).await?;
        expect(&mut reader, "room", &json!(3)).await?;
        let left = call(
            &scene.gateway,
            "history",
            json!({ "channel": "kept:gone", "limit": 1 }),
        )
        .await?;
        assert_eq!(left["publications"], json!([]), "{way:?}");
        if first.is_empty() {
            first = answers;
        } else {
            for (answer, (expected, (method, body))) in answers.iter().zip(first.iter().zip(calls(&id))) {
                assert_eq!(answer, expected, "{way:?} {method} {body}");
            }
        }
    }
    let named = calls("");
    let answer_of = |name: &str| {
        let index = named.iter().position(|(method, _)| *method == name);
        index.and_then(|index| first.get(index)).context("no answer")
    };
    let methods = API_METHODS.into_iter().filter(|method| *method != "batch");
    ensure!(
        methods.into_iter().all(|method| answer_of(method).is_ok()),
        "a method was not called"
    );
    let listed = &answer_of("presence")?["result"]["presence"];
    let anonymous = listed.as_object().context("nobody")?.values();
    let anonymous: Vec<_> = anonymous.filter(|info| info["user"] == "").collect();
    ensure!(anonymous.len() == 1 && listed[&bob]["user"] == "bob", "{listed}");
    ensure!(answer_of("rpc")?["error"]["code"] == 104);
    Ok(())
}

#[tokio::test]
async fn all_methods_refuse_the_same_by_every_way() -> Result<()> {
    let scene = Scene::open().await?;
    let keyed = json!({ "channel": "kept:room", "data": 1, "idempotency_key": "1" });
    call(&scene.gateway, "publish", keyed).await?;
    for (method, body, code) in refused() {
        let first = scene.ask(Way::Alone, method, &body).await?;
        ensure!(first["error"]["code"] == code, "{method} {body}: {first}");
        for way in WAYS {
            let answer = scene.ask(way, method, &body).await?;
            assert_eq!(answer, first, "{way:?} {method} {body}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_of_all_methods_is_the_same_over_nats() -> Result<()> {
    let scene = Scene::open().await?;
    let nobody = "5f0c1f0a-7d6c-4b0e-9a1d-2c3b4a596877";
    let commands: Vec<_> = calls(nobody)
        .into_iter()
        .filter(|(method, _)| *method != "info")
        .map(|(method, body)| json!({ method: body }))
        .chain(
            refused()
                .into_iter()
                .map(|(method, body, _)| json!({ method: body })),
        )
        .collect();
    // The first one begins the histories.
    let batch = json!({ "commands": commands });
    scene.post("/batch", &batch).await?;
    let expected = scene.post("/batch", &batch).await?;
    let replies = expected["replies"].as_array().context("no replies")?;
    assert_eq!(replies.len(), commands.len());
    assert_eq!(scene.request(".batch", &batch).await?, expected);
    // Beside each other they come in any order, and how many rules there are depends on it.
    let (commands, replies): (Vec<_>, Vec<_>) = commands
        .into_iter()
        .zip(replies.clone())
        .filter(|(command, _)| command.get("revocations").is_none())
        .unzip();
    let batch = json!({ "commands": commands, "parallel": true });
    let expected = json!({ "replies": replies });
    assert_eq!(scene.request(".batch", &batch).await?, expected);
    assert_eq!(scene.post("/batch", &batch).await?, expected);
    Ok(())
}

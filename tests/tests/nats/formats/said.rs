//! The scene that is recorded: a gateway, its clients and backend, and another gateway that the test plays.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use async_nats::{Client as Nats, Subscriber};
use natter_tests::gateway::Gateway;
use reqwest::Client as Http;
use serde_json::{Value, json};

use super::recorded::{Recorded, find};
use super::start;
use crate::support::{LIMIT, PREFIX, call, member, publish, user, wait_names};
use crate::users;

/// The gateway that the test plays.
pub(super) const STRANGER: &str = "5f0c1f0a-7d6c-4b0e-9a1d-2c3b4a596877";
/// A session that nobody has.
pub(super) const NOBODY: &str = "0-5f0c1f0a7d6c4b0e9a1d2c3b4a596877";
/// Far enough for whoever reads the file later.
const IN_2100: u64 = 4_102_444_800;

struct Recorder {
    gateway: Gateway,
    nats: Nats,
    bus: Subscriber,
    said: BTreeMap<String, Recorded>,
}

/// Plays the scene and takes down what a gateway says of it on the bus.
pub(super) async fn record() -> Result<BTreeMap<String, Recorded>> {
    let server = users::server().jetstream().start().await?;
    let gateway = start("a", &server).await?;
    let nats = async_nats::connect(server.url()).await?;
    let bus = nats.subscribe(format!("{PREFIX}.>")).await?;
    nats.flush().await?;
    let mut recorder = Recorder {
        gateway,
        nats,
        bus,
        said: BTreeMap::new(),
    };
    recorder.publications().await?;
    recorder.orders().await?;
    recorder.members().await?;
    recorder.questions().await?;
    recorder.streams().await?;
    recorder.gateway.terminate()?;
    recorder
        .keep("leaving", |message| message.payload["message"] == "leaving")
        .await?;
    Ok(recorder.said)
}

fn order(name: &str) -> impl Fn(&Recorded) -> bool {
    move |message| message.payload["message"]["order"].get(name).is_some()
}

/// A word about members that `says` this.
fn word(says: impl Fn(&Value) -> bool) -> impl Fn(&Recorded) -> bool {
    move |message| message.headers.contains_key("Natter-Presence") && says(&message.payload["word"]["said"])
}

impl Recorder {
    async fn keep(&mut self, name: &str, is: impl Fn(&Recorded) -> bool) -> Result<Recorded> {
        let message = find(&mut self.bus, is).await.with_context(|| name.to_owned())?;
        self.said.insert(name.to_owned(), message.clone());
        Ok(message)
    }

    async fn call(&self, method: &str, request: Value) -> Result<Value> {
        call(&self.gateway, method, request).await
    }

    /// The other gateway says something to this one.
    async fn hears(&self, message: &Value) -> Result<()> {
        let node = self.said["node"].payload["from"].as_str();
        let message = Recorded::control(STRANGER, Some(node.context("no node")?), message);
        message.replay(&self.nats).await
    }

    async fn publications(&mut self) -> Result<()> {
        let mut client = member(&self.gateway, "room").await?;
        let is_sent = |message: &Recorded| message.subject.contains(".eph.");
        publish(&mut client, "room", json!({ "text": "from a client" })).await?;
        self.keep("publication of a client", is_sent).await?;
        let tagged =
            json!({ "channel": "room", "data": { "text": "from a backend" }, "tags": { "kind": "note" } });
        self.call("publish", tagged).await?;
        self.keep("publication of a backend", is_sent).await?;
        let bytes = json!({ "channel": "bytes:room", "b64data": "eyJ0ZXh0IjogImJ5dGVzIn0=" });
        self.call("publish", bytes).await?;
        self.keep("publication of bytes", is_sent).await?;
        let keyed = json!({ "channel": "kept:room", "data": { "text": "kept" }, "idempotency_key": "1" });
        self.call("publish", keyed).await?;
        self.keep("stored publication", |message| message.subject.contains(".msg."))
            .await?;
        self.keep("live publication", |message| message.subject.contains(".live."))
            .await?;
        self.keep("node", |message| message.is("node")).await?;
        // The room that Ann is put into keeps something by now, so there is a stream for it.
        self.call(
            "publish",
            json!({ "channel": "seen:room", "data": { "text": "seen" } }),
        )
        .await?;
        Ok(())
    }

    async fn orders(&mut self) -> Result<()> {
        let more = json!({ "user": "ann", "channel": "more" });
        self.call("subscribe", more.clone()).await?;
        self.keep("subscribe", order("subscribe")).await?;
        let everything = json!({
            "user": "ann", "channel": "seen:room", "info": { "role": "host" }, "data": { "welcome": true },
            "expire_at": IN_2100, "recover_since": { "offset": 0, "epoch": "" },
            "override": { "force_recovery": { "value": true }, "force_positioning": { "value": true } },
        });
        self.call("subscribe", everything).await?;
        self.keep("subscribe with everything", order("subscribe")).await?;
        let refresh = json!({ "user": "ann", "expire_at": IN_2100, "info": { "name": "Ann" } });
        self.call("refresh", refresh).await?;
        self.keep("refresh", order("refresh")).await?;
        self.call("unsubscribe", more).await?;
        self.keep("unsubscribe", order("unsubscribe")).await?;
        self.call("unsubscribe", json!({ "session": NOBODY, "channel": "more" }))
            .await?;
        self.keep("unsubscribe a session", order("unsubscribe")).await?;
        let disconnect = json!({ "user": "ann", "disconnect": { "code": 4321, "reason": "enough" } });
        self.call("disconnect", disconnect).await?;
        self.keep("disconnect", order("disconnect")).await?;
        self.call("channels", json!({ "pattern": "*" })).await?;
        self.keep("count rooms", |message| message.is("count_rooms"))
            .await?;
        self.call("block_user", json!({ "user": "eve" })).await?;
        self.keep("revoke", |message| message.is("revoke")).await?;
        self.keep("revoked", |message| message.is("revoked")).await?;
        Ok(())
    }

    async fn members(&mut self) -> Result<()> {
        let mut ann = user(&self.gateway, "ann").await?;
        let told = json!({ "user": "ann", "info": { "name": "Ann" } });
        self.call("refresh", told).await?;
        ensure!(ann.push().await?["refresh"].is_object());
        let joining = json!({ "user": "ann", "channel": "seen:room", "info": { "role": "host" } });
        self.call("subscribe", joining).await?;
        self.keep(
            "members joined",
            word(|said| said["changed"].get("joined").is_some()),
        )
        .await?;
        self.keep("members stayed", word(|said| said == "beat")).await?;
        self.meets_the_stranger().await?;
        self.call("unsubscribe", json!({ "user": "ann", "channel": "seen:room" }))
            .await?;
        self.keep("members left", word(|said| said["changed"].get("left").is_some()))
            .await?;
        let _few = [
            member(&self.gateway, "few:room").await?,
            member(&self.gateway, "few:room").await?,
        ];
        self.keep("members counted", word(|said| said.get("counts").is_some()))
            .await?;
        Ok(())
    }

    /// The other gateway announces itself, which holds for a while.
    async fn stranger_comes(&self) -> Result<()> {
        let mut node = self.said["node"].payload["message"].clone();
        node["node"]["uid"] = STRANGER.into();
        node["node"]["name"] = "stranger".into();
        Recorded::control(STRANGER, None, &node)
            .replay(&self.nats)
            .await?;
        wait_names(&self.gateway, &["a", "stranger"], LIMIT).await
    }

    /// The other gateway has a member in the room of Ann, and asks who else is there.
    async fn meets_the_stranger(&mut self) -> Result<()> {
        self.stranger_comes().await?;
        // It has said four times something that this gateway did not hear.
        let place = json!({ "life": 7, "seq": 5 });
        let mut word = self.said["members joined"].with("/word/place", &place)?;
        word.headers
            .insert("Natter-Presence".to_owned(), STRANGER.replace('-', ""));
        let fields = word.payload["word"].as_object_mut();
        fields.context("no word")?.remove("asks");
        word.replay(&self.nats).await?;
        self.keep("ask for members", |message| message.is("ask_members"))
            .await?;
        let asked = json!({ "ask_members": { "channel": "seen:room" } });
        self.hears(&asked).await?;
        self.keep("members", |message| message.is("members")).await?;
        let survey = json!({ "survey_members": { "survey": STRANGER, "channel": "seen:room" } });
        self.hears(&survey).await?;
        self.keep("members surveyed", |message| message.is("surveyed_members"))
            .await?;
        let count = json!({ "count_user": { "survey": STRANGER, "user": "ann" } });
        self.hears(&count).await?;
        self.keep("user counted", |message| message.is("user_count"))
            .await?;
        Ok(())
    }

    /// About a room that nobody here is in.
    async fn questions(&mut self) -> Result<()> {
        self.stranger_comes().await?;
        let Self {
            gateway,
            nats,
            bus,
            said,
        } = self;
        let nobody = json!({ "channel": "seen:nobody" });
        let asking = gateway.api("presence", &nobody);
        let answering = async {
            let question = find(bus, |message| message.is("survey_members")).await?;
            said.insert("survey members".to_owned(), question.clone());
            let survey = &question.payload["message"]["survey_members"]["survey"];
            let part = json!({ "clients": 0, "users": 0 });
            let answer = json!({ "surveyed_members": { "survey": survey, "part": part, "last": true } });
            let node = question.payload["from"].as_str().context("from whom?")?;
            Recorded::control(STRANGER, Some(node), &answer)
                .replay(nats)
                .await
        };
        let (answer, answered) = tokio::join!(asking, answering);
        answered?;
        let answer = answer?;
        ensure!(answer == json!({ "result": { "presence": {} } }), "{answer}");
        Ok(())
    }

    /// Something is said to a stream at the other gateway, and to one that is not here.
    async fn streams(&mut self) -> Result<()> {
        self.stranger_comes().await?;
        let Self {
            gateway,
            nats,
            bus,
            said,
        } = self;
        let command = json!({ "id": 2, "subscribe": { "channel": "more" } }).to_string();
        let body = json!({ "session": NOBODY, "node": STRANGER, "data": command });
        let url = format!("{}/emulation", gateway.http_url());
        let saying = Http::builder().no_proxy().build()?.post(url);
        let saying = saying.body(body.to_string()).send();
        let answering = async {
            let question = find(bus, |message| message.is("emulate")).await?;
            said.insert("said to a stream".to_owned(), question.clone());
            let request = &question.payload["message"]["emulate"]["request"];
            let answer = json!({ "emulated": { "request": request, "hearing": "heard" } });
            let node = question.payload["from"].as_str().context("from whom?")?;
            Recorded::control(STRANGER, Some(node), &answer)
                .replay(nats)
                .await?;
            anyhow::Ok(question)
        };
        let (answer, question) = tokio::join!(saying, answering);
        ensure!(answer?.status() == 204);
        self.hears(&question?.payload["message"]).await?;
        self.keep("heard by a stream", |message| {
            message.is("emulated") && message.payload["from"] != STRANGER
        })
        .await?;
        Ok(())
    }
}

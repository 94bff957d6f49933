//! A gateway hears what was recorded.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use async_nats::{Client as Nats, Subscriber};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use natter_tests::wire::{Encoding, Transport, Wire};
use reqwest::Client as Http;
use serde_json::{Value, json};

use super::recorded::{Recorded, find, recorded};
use super::said::NOBODY;
use super::start;
use crate::support::{LIMIT, PREFIX, call, connect, expect, is_temporary, member, user, wait_names};
use crate::users;

/// A gateway, and the one whose messages were recorded.
struct Replay {
    _server: NatsServer,
    gateway: Gateway,
    /// Its id.
    node: String,
    nats: Nats,
    /// What is said to the recorded gateway.
    answers: Subscriber,
    said: BTreeMap<String, Recorded>,
}

impl Replay {
    async fn new() -> Result<Self> {
        let server = users::server().jetstream().start().await?;
        let gateway = start("b", &server).await?;
        let nats = async_nats::connect(server.url()).await?;
        let said = recorded()?;
        let asker = said["node"].payload["from"].as_str().context("from whom?")?;
        let answers = format!("{PREFIX}.ctl.node.{}", asker.replace('-', ""));
        let answers = nats.subscribe(answers).await?;
        nats.flush().await?;
        let info = call(&gateway, "info", json!({})).await?;
        let node = info["nodes"][0]["uid"].as_str().context("no id")?.to_owned();
        Ok(Self {
            _server: server,
            gateway,
            node,
            nats,
            answers,
            said,
        })
    }

    /// The change was counted by the bucket that the gateway knows, and not by the recorded one's.
    async fn counted_by_its_bucket(&mut self, name: &str) -> Result<()> {
        let info = format!("$JS.API.STREAM.INFO.KV_{PREFIX}_revocations");
        let info = self.nats.request(info, "".into()).await?;
        let info: Value = serde_json::from_slice(&info.payload)?;
        let recorded = self.said.get_mut(name).context("it is not recorded")?;
        recorded.payload["message"]["revoke"]["epoch"] = info["created"].clone();
        Ok(())
    }

    async fn again(&self, name: &str) -> Result<()> {
        let replayed = self.said[name].replay(&self.nats).await;
        replayed.with_context(|| name.to_owned())
    }

    /// The recorded gateway is there.
    async fn announced(&self) -> Result<()> {
        self.again("node").await?;
        wait_names(&self.gateway, &["a", "b"], LIMIT).await
    }

    /// The next message to the recorded gateway of this name.
    async fn answer(&mut self, name: &str) -> Result<Value> {
        let mut message = find(&mut self.answers, |message| message.is(name)).await?;
        Ok(message.payload["message"][name].take())
    }

    async fn all_was_understood(&self) -> Result<()> {
        let undecodable = [("kind", "undecodable")];
        let counted = self.gateway.metrics().await?;
        let counted = counted.value("natter_bus_errors_total", &undecodable);
        ensure!(
            counted.is_none_or(|count| count < 0.5),
            "{counted:?} were not understood"
        );
        Ok(())
    }

    /// A member of a durable room; its stream may still be in the making.
    async fn member(&self, room: &str) -> Result<Client> {
        eventually("the durable room takes members", LIMIT, async || {
            let mut client = connect(&self.gateway).await?;
            let reply = client
                .request(json!({ "subscribe": { "channel": room } }))
                .await?;
            ensure!(!is_temporary(&reply), "{reply}");
            Ok(client)
        })
        .await
    }

    async fn wait_present(&self, room: &str, expected: usize) -> Result<Value> {
        eventually(&format!("{expected} are in {room}"), LIMIT, async || {
            let answer = self.gateway.api("presence", &json!({ "channel": room })).await?;
            let present = &answer["result"]["presence"];
            let count = present.as_object().map(serde_json::Map::len);
            ensure!(count == Some(expected), "{answer}");
            Ok(present.clone())
        })
        .await
    }
}

#[tokio::test]
async fn what_is_revoked_is_understood_and_confirmed() -> Result<()> {
    let mut replay = Replay::new().await?;
    replay.announced().await?;
    replay.counted_by_its_bucket("revoke").await?;
    replay.again("revoke").await?;
    let asked = &replay.said["revoke"].payload["message"]["revoke"]["question"].clone();
    let confirmed = replay.answer("revoked").await?;
    ensure!(confirmed["question"] == *asked, "{confirmed}");
    let listed = call(&replay.gateway, "revocations", json!({ "user": "eve" })).await?;
    ensure!(listed["revocations"][0]["kind"] == "user", "{listed}");
    replay.all_was_understood().await
}

#[tokio::test]
async fn recorded_publications_and_orders_are_understood() -> Result<()> {
    let mut replay = Replay::new().await?;
    let mut kept = replay.member("kept:room").await?;
    let mut client = member(&replay.gateway, "room").await?;
    replay.again("publication of a client").await?;
    expect(&mut client, "room", &json!({ "text": "from a client" })).await?;
    replay.again("publication of a backend").await?;
    let push = client.push().await?;
    assert_eq!(push["pub"]["data"], json!({ "text": "from a backend" }), "{push}");
    assert_eq!(push["pub"]["tags"], json!({ "kind": "note" }), "{push}");
    replay.again("stored publication").await?;
    expect(&mut kept, "kept:room", &json!({ "text": "kept" })).await?;

    let public = replay.gateway.public();
    let (mut bytes, _) = Wire::connect(public, Transport::WebSocket, Encoding::Protobuf, json!({})).await?;
    bytes
        .request(json!({ "subscribe": { "channel": "bytes:room" } }))
        .await?;
    replay.again("publication of bytes").await?;
    let push = bytes.recv().await?.context("the connection ended")?;
    ensure!(
        push["push"]["pub"]["data"] == json!({ "text": "bytes" }),
        "{push}"
    );

    let seen = json!({ "channel": "seen:room", "data": { "text": "seen" } });
    call(&replay.gateway, "publish", seen).await?;
    let mut ann = user(&replay.gateway, "ann").await?;
    replay.again("subscribe").await?;
    assert!(ann.push().await?.get("subscribe").is_some());
    replay.again("refresh").await?;
    assert_eq!(ann.push().await?["refresh"]["expires"], true);
    replay.again("subscribe with everything").await?;
    let push = ann.push().await?;
    let subscribed = &push["subscribe"];
    ensure!(
        subscribed["data"] == json!({ "welcome": true }) && subscribed["recoverable"] == true,
        "{push}"
    );
    expect(&mut ann, "seen:room", &json!({ "text": "seen" })).await?;
    let joined = &ann.push().await?["join"]["info"];
    ensure!(
        joined["chan_info"] == json!({ "role": "host" }) && joined["conn_info"] == json!({ "name": "Ann" }),
        "{joined}"
    );
    replay.again("unsubscribe").await?;
    assert_eq!(ann.push().await?["unsubscribe"]["code"], 2000);
    replay.again("disconnect").await?;
    assert_eq!(ann.close_frame().await?, (4321, "enough".to_owned()));

    replay.announced().await?;
    replay.again("count rooms").await?;
    let counts = replay.answer("room_counts").await?;
    assert_eq!(
        counts["survey"],
        replay.said["count rooms"].payload["message"]["count_rooms"]["survey"]
    );
    assert_eq!(counts["rooms"]["room"], 1, "{counts}");
    replay.again("leaving").await?;
    wait_names(&replay.gateway, &["b"], LIMIT).await?;
    replay.all_was_understood().await
}

#[tokio::test]
async fn recorded_words_about_members_are_understood() -> Result<()> {
    let mut replay = Replay::new().await?;
    let mut client = replay.member("seen:room").await?;
    ensure!(client.push().await?["join"].is_object(), "of itself");
    replay.announced().await?;
    replay.again("members joined").await?;
    let told = client.push().await?;
    let recorded = &replay.said["members joined"].payload["word"]["said"]["changed"]["joined"][0];
    let ann = recorded["client"].clone();
    let expected = json!({
        "user": "ann", "client": ann, "conn_info": { "name": "Ann" }, "chan_info": { "role": "host" },
    });
    assert_eq!(told["join"]["info"], expected);
    let asked = replay.answer("members").await?;
    ensure!(
        asked["channel"] == "seen:room" && asked["clients"] == 1,
        "it has asked who is there: {asked}"
    );
    replay.again("members stayed").await?;
    replay.again("members left").await?;
    assert_eq!(client.push().await?["leave"]["info"], expected);

    replay.announced().await?;
    replay.again("survey members").await?;
    let answer = replay.answer("surveyed_members").await?;
    let question = &replay.said["survey members"].payload["message"]["survey_members"];
    assert_eq!(answer["survey"], question["survey"]);

    let _few = member(&replay.gateway, "few:room").await?;
    let counted = replay.said["members counted"].with("/word/place/seq", &1.into())?;
    counted.replay(&replay.nats).await?;
    eventually("all are counted", LIMIT, async || {
        let stats = call(
            &replay.gateway,
            "presence_stats",
            json!({ "channel": "few:room" }),
        )
        .await?;
        ensure!(stats["num_clients"] == 3, "{stats}");
        Ok(())
    })
    .await?;

    // What was said about one room, said about another one.
    let _other = replay.member("seen:other").await?;
    replay.announced().await?;
    let node = replay.node.clone();
    let channel = "seen:other".into();
    let digest = replay.said["members"].with("/message/members/channel", &channel)?;
    digest.to(&node).replay(&replay.nats).await?;
    let present = replay.wait_present("seen:other", 2).await?;
    ensure!(
        present[ann.as_str().context("no id")?]["user"] == "ann",
        "{present}"
    );
    let asking = replay.said["ask for members"].with("/message/ask_members/channel", &channel)?;
    asking.to(&node).replay(&replay.nats).await?;
    loop {
        // An earlier one was asked for by the word.
        let digest = replay.answer("members").await?;
        if digest["channel"] == channel {
            ensure!(digest["clients"] == 1, "{digest}");
            break;
        }
    }
    replay.all_was_understood().await
}

#[tokio::test]
async fn recorded_answers_are_understood() -> Result<()> {
    let replay = Replay::new().await?;
    let mut bus = replay.nats.subscribe(format!("{PREFIX}.ctl.>")).await?;
    replay.nats.flush().await?;
    let node = replay.node.clone();
    let is_own = |message: &Recorded| message.payload["from"] == node.as_str();

    replay.announced().await?;
    let nobody = json!({ "channel": "seen:nobody" });
    let asking = replay.gateway.api("presence", &nobody);
    let answering = async {
        let question = find(&mut bus, |message| {
            is_own(message) && message.is("survey_members")
        })
        .await?;
        let survey = &question.payload["message"]["survey_members"]["survey"];
        let answer = replay.said["members surveyed"].with("/message/surveyed_members/survey", survey)?;
        answer.to(&node).replay(&replay.nats).await
    };
    let (answer, answered) = tokio::join!(asking, answering);
    answered?;
    let answer = answer?;
    let present = answer["result"]["presence"].as_object();
    let ann = present.and_then(|present| present.values().next());
    ensure!(ann.is_some_and(|ann| ann["user"] == "ann"), "{answer}");

    replay.announced().await?;
    let recorded = &replay.said["node"].payload["from"];
    let body = json!({ "session": NOBODY, "node": recorded, "data": "{}" });
    let url = format!("{}/emulation", replay.gateway.http_url());
    let saying = Http::builder().no_proxy().build()?.post(url);
    let saying = saying.body(body.to_string()).send();
    let answering = async {
        let question = find(&mut bus, |message| is_own(message) && message.is("emulate")).await?;
        let request = &question.payload["message"]["emulate"]["request"];
        let answer = replay.said["heard by a stream"].with("/message/emulated/request", request)?;
        answer.to(&node).replay(&replay.nats).await
    };
    let (answer, answered) = tokio::join!(saying, answering);
    answered?;
    ensure!(
        answer?.status() == 404,
        "the recorded gateway knows no such session"
    );
    replay.all_was_understood().await
}

#[tokio::test]
async fn what_a_recorded_gateway_brings_to_a_stream_is_heard() -> Result<()> {
    let mut replay = Replay::new().await?;
    let public = replay.gateway.public();
    let (mut stream, connected) = Wire::connect(public, Transport::Sse, Encoding::Json, json!({})).await?;
    let session = connected["connect"]["session"].as_str().context("no session")?;
    let (worker, secret) = session.split_once('-').context("no worker")?;
    let key = json!({ "worker": worker.parse::<u32>()?, "secret": secret });
    let said = replay.said["said to a stream"].with("/message/emulate/said/key", &key)?;
    said.to(&replay.node).replay(&replay.nats).await?;
    let answer = stream.recv().await?.context("the stream ended")?;
    ensure!(answer["id"] == 2 && answer["subscribe"].is_object(), "{answer}");
    let heard = replay.answer("emulated").await?;
    let request = &replay.said["said to a stream"].payload["message"]["emulate"]["request"];
    ensure!(
        heard == json!({ "request": request, "hearing": "heard" }),
        "{heard}"
    );

    let order =
        replay.said["unsubscribe a session"].with("/message/order/unsubscribe/target/session", &key)?;
    order.replay(&replay.nats).await?;
    let push = stream.recv().await?.context("the stream ended")?;
    ensure!(push["push"]["unsubscribe"]["code"] == 2000, "{push}");
    replay.all_was_understood().await
}

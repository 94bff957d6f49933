//! Rooms that a connection is in by the server's decision, and rooms of certain users.

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::channels::user;
use crate::scene::{Scene, settle};

const ROOMS: &str = "
client:
  user_id_header: x-user
  anonymous: allow
  channel_limit: 4
  subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: me}
rooms:
  namespaces:
    - {name: me, subscribe: users, publish: subscribers, history: {size: 100, ttl: 1h, read: anyone, force_recovery: true}}
    - {name: kept, subscribe: anyone, publish: anyone, history: {size: 100, ttl: 1h, read: anyone}}
    - {name: open, subscribe: anyone, publish: anyone}
    - {name: pushed, subscribe: server, publish: server}
    - {name: bytes, subscribe: anyone, publish: anyone, payload: binary}
";

/// Connects as a user; gives the reply to `{"connect": request}`, whatever it is.
async fn connect_as(scene: &Scene, name: &str, request: Value) -> Result<(Client, Value)> {
    let mut upgrade = scene.gateway.ws_url().into_client_request()?;
    if !name.is_empty() {
        upgrade.headers_mut().insert("x-user", name.parse()?);
    }
    let mut client = Client::open(upgrade).await?;
    let reply = client.request(json!({ "connect": request })).await?;
    Ok((client, reply))
}

async fn publish(scene: &Scene, channel: &str, data: Value) -> Result<Value> {
    let answer = scene
        .gateway
        .api("publish", &json!({ "channel": channel, "data": data }))
        .await?;
    ensure!(answer.get("result").is_some(), "{answer}");
    Ok(answer["result"].clone())
}

#[tokio::test]
async fn a_user_is_in_the_room_of_that_user_from_the_beginning() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let before = publish(&scene, "me:#42", json!("before")).await?;
    let (mut client, reply) = connect_as(&scene, "42", json!({})).await?;
    let expected = json!({ "me:#42": {
        "recoverable": true, "positioned": true, "epoch": before["epoch"], "offset": 1 } });
    assert_eq!(reply["connect"]["subs"], expected, "{reply}");
    publish(&scene, "me:#42", json!("for you")).await?;
    let push = client.push().await?;
    assert_eq!(
        (&push["channel"], &push["pub"]["data"]),
        (&json!("me:#42"), &json!("for you"))
    );
    publish(&scene, "me:#43", json!("for somebody else")).await?;
    settle(&mut client).await?;
    assert_eq!(client.waiting().count(), 0);
    // It is a subscription like any other.
    let again = client
        .request(json!({ "subscribe": { "channel": "me:#42" } }))
        .await?;
    assert_eq!(again["error"]["code"], 105, "{again}");
    let said = client
        .request(json!({ "publish": { "channel": "me:#42", "data": 1 } }))
        .await?;
    ensure!(said.get("publish").is_some(), "{said}");
    assert_eq!(client.push().await?["pub"]["info"]["user"], "42");

    let (_, anonymous) = connect_as(&scene, "", json!({})).await?;
    assert_eq!(anonymous["connect"].get("subs"), None, "{anonymous}");
    scene.untroubled().await
}

#[tokio::test]
async fn the_answer_to_connect_brings_what_was_missed_and_the_rest_follows_without_a_gap() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let (client, reply) = connect_as(&scene, "42", json!({})).await?;
    let epoch = reply["connect"]["subs"]["me:#42"]["epoch"].clone();
    client.close().await?;
    for number in 1..=5 {
        publish(&scene, "me:#42", json!(number)).await?;
    }
    let subs = json!({ "me:#42": { "recover": true, "epoch": epoch, "offset": 2 } });
    let (mut client, reply) = connect_as(&scene, "42", json!({ "subs": subs })).await?;
    let room = &reply["connect"]["subs"]["me:#42"];
    let publications = room["publications"].as_array().context("no publications")?;
    let got: Vec<_> = publications
        .iter()
        .map(|publication| (&publication["offset"], &publication["data"]))
        .collect();
    assert_eq!(
        got,
        [
            (&json!(3), &json!(3)),
            (&json!(4), &json!(4)),
            (&json!(5), &json!(5))
        ]
    );
    assert_eq!(
        (&room["recovered"], &room["was_recovering"], &room["offset"]),
        (&json!(true), &json!(true), &json!(2))
    );
    publish(&scene, "me:#42", json!(6)).await?;
    assert_eq!(client.push().await?["pub"]["offset"], 6);

    let lost = json!({ "me:#42": { "recover": true, "epoch": "another", "offset": 2 } });
    let (_, reply) = connect_as(&scene, "42", json!({ "subs": lost })).await?;
    let room = &reply["connect"]["subs"]["me:#42"];
    assert_eq!(
        (
            room.get("recovered"),
            &room["was_recovering"],
            &room["offset"],
            room.get("publications")
        ),
        (None, &json!(true), &json!(6), None),
        "{room}"
    );
    scene.untroubled().await
}

/// What was said while the rooms were joined must not overtake the answer that tells of them.
#[tokio::test]
async fn what_comes_behind_connect_in_one_frame_is_answered_behind_it() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut upgrade = scene.gateway.ws_url().into_client_request()?;
    upgrade.headers_mut().insert("x-user", "42".parse()?);
    let mut client = Client::open(upgrade).await?;
    client
        .send_batch(&[
            json!({ "id": 1, "connect": { "subs": { "open:a": {} } } }),
            json!({ "id": 2, "subscribe": { "channel": "open:b" } }),
            json!({ "id": 3, "publish": { "channel": "open:a", "data": "a" } }),
            json!({ "id": 4, "publish": { "channel": "open:b", "data": "b" } }),
            json!({ "id": 5, "unsubscribe": { "channel": "open:a" } }),
        ])
        .await?;
    let mut order = Vec::new();
    let mut pushes = Vec::new();
    while order.len() < 5 {
        let value = client.recv().await?;
        match value.get("push") {
            Some(push) => {
                ensure!(!order.is_empty(), "{push} came before the answer to connect");
                pushes.push(push["channel"].clone());
            }
            None => order.push(value["id"].clone()),
        }
    }
    assert_eq!(order, [1, 2, 3, 4, 5]);
    while !pushes.contains(&json!("open:b")) {
        pushes.push(client.push().await?["channel"].clone());
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_connect_request_names_rooms_that_its_client_may_join() -> Result<()> {
    let scene = Scene::open(&ROOMS.replace("channel_limit: 4", "channel_limit: 8")).await?;
    publish(&scene, "kept:a", json!("one")).await?;
    let subs = json!({
        "open:a": {}, "kept:a": { "recoverable": true }, "me:#43": {}, "pushed:a": {},
        "nowhere:a": {}, "bytes:a": {}, "": {}, "me:#42": {} });
    let (mut client, reply) = connect_as(&scene, "42", json!({ "subs": subs })).await?;
    let got = reply["connect"]["subs"].as_object().context("no subs")?;
    let mut names: Vec<_> = got.keys().collect();
    names.sort();
    assert_eq!(names, ["kept:a", "me:#42", "open:a"], "{reply}");
    assert_eq!(got["open:a"], json!({}));
    assert_eq!(
        (&got["kept:a"]["recoverable"], &got["kept:a"]["offset"]),
        (&json!(true), &json!(1))
    );
    publish(&scene, "open:a", json!(7)).await?;
    assert_eq!(client.push().await?["pub"]["data"], 7);

    // Also such as there are not: their number is looked at before anything else of them.
    for namespace in ["open", "nowhere"] {
        let many: serde_json::Map<_, _> = (0..9)
            .map(|number| (format!("{namespace}:{number}"), json!({})))
            .collect();
        let watch = scene.watch().await?;
        let (mut client, reply) = connect_as(&scene, "", json!({ "subs": many })).await?;
        assert_eq!(reply["error"]["code"], 106, "{reply}");
        assert_eq!(client.close_frame().await?, (3505, "channel limit".to_owned()));
        watch
            .counted(
                "natter_command_errors_total",
                &[("command", "connect"), ("code", "106")],
                1,
            )
            .await?;
        watch.ended("channel_limit").await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn rooms_that_a_connect_request_names_cost_what_commands_cost() -> Result<()> {
    let scene = Scene::open("client: {rate_limit: {commands: 20}}\n").await?;
    let watch = scene.watch().await?;
    for (rooms, limited) in [(10, 0), (100, 1)] {
        let named: serde_json::Map<_, _> = (0..rooms).map(|n| (format!("room-{n}"), json!({}))).collect();
        let (_client, reply) = connect_as(&scene, "", json!({ "subs": named })).await?;
        let subs = reply["connect"]["subs"].as_object().context("no subs")?;
        assert_eq!(subs.len(), rooms);
        watch
            .counted("natter_limited_total", &[("limit", "commands")], limited)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connect_request_asks_for_what_a_subscribe_command_may() -> Result<()> {
    let scene = Scene::open(
        "
client: {user_id_header: x-user, anonymous: allow, subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: me}}
rooms:
  namespaces:
    - {name: me, subscribe: users, publish: server, tags_filter: true}
    - {name: document, subscribe: anyone, delta: fossil}
    - {name: told, subscribe: anyone, join_leave: true}
    - {name: plain, subscribe: anyone}
",
    )
    .await?;
    let english = json!({ "key": "lang", "cmp": "eq", "val": "en" });
    let subs = json!({
        "document:a": { "delta": "fossil" }, "document:b": { "delta": "other" },
        "told:a": { "join_leave": true }, "plain:a": { "delta": "fossil", "join_leave": true },
        "me:#42": { "tf": english } });
    let (mut client, reply) = connect_as(&scene, "42", json!({ "subs": subs })).await?;
    let expected = json!({ "document:a": { "delta": true }, "told:a": {}, "plain:a": {}, "me:#42": {} });
    assert_eq!(reply["connect"]["subs"], expected, "{reply}");

    let (mut other, reply) = connect_as(&scene, "43", json!({})).await?;
    other
        .request(json!({ "subscribe": { "channel": "told:a" } }))
        .await?;
    let id = &reply["connect"]["client"];
    let join = client
        .recv_where(|value| value["push"]["join"]["info"]["client"] == *id)
        .await?;
    assert_eq!(join["push"]["channel"], "told:a");

    let text = "as it was, ".repeat(40);
    for end in ["one", "two"] {
        publish(&scene, "document:a", json!(format!("{text}{end}"))).await?;
    }
    let mut documents = Vec::new();
    for _ in 0..2 {
        let push = client
            .recv_where(|value| value["push"]["channel"] == "document:a")
            .await?;
        let publication = &push["push"]["pub"];
        let data = publication["data"].as_str().with_context(|| push.to_string())?;
        documents.push((publication["delta"] == true, data.to_owned()));
    }
    assert_eq!(documents[0], (false, json!(format!("{text}one")).to_string()));
    ensure!(documents[1].0 && documents[1].1.len() < 60, "{documents:?}");
    for lang in ["de", "en"] {
        let message = json!({ "channel": "me:#42", "data": lang, "tags": { "lang": lang } });
        scene.gateway.api("publish", &message).await?;
    }
    let push = client
        .recv_where(|value| value["push"]["channel"] == "me:#42")
        .await?;
    assert_eq!(push["push"]["pub"]["data"], "en");
    scene.untroubled().await
}

/// Rooms of one large message each, more of them than one answer brings.
#[tokio::test]
async fn rooms_that_do_not_fit_into_the_answer_are_not_recovered() -> Result<()> {
    const FITTING: usize = 4;
    let scene = Scene::open(
        "rooms: {namespaces: [{name: large, subscribe: anyone, history: {read: anyone, force_recovery: true}}]}",
    )
    .await?;
    let text = "x".repeat(900_000);
    let mut subs = serde_json::Map::new();
    for room in 0..FITTING + 2 {
        let channel = format!("large:{room}");
        let stored = publish(&scene, &channel, json!(text)).await?;
        let position = json!({ "recover": true, "epoch": stored["epoch"], "offset": 0 });
        subs.insert(channel, position);
    }
    let (mut client, reply) = connect_as(&scene, "", json!({ "subs": subs })).await?;
    let answered = reply["connect"]["subs"].as_object().context("no subs")?;
    let (recovered, others): (Vec<_>, Vec<_>) =
        answered.iter().partition(|(_, room)| room["recovered"] == true);
    assert_eq!((recovered.len(), others.len()), (FITTING, 2));
    for (channel, room) in recovered {
        ensure!(room["publications"][0]["data"] == *text, "{channel}");
    }
    // They are as rooms of which too much was missed, and go on.
    for (channel, room) in others {
        ensure!(
            room["was_recovering"] == true && room["offset"] == 1 && room.get("publications").is_none(),
            "{channel}: {room}"
        );
        publish(&scene, channel, json!(2)).await?;
        assert_eq!(client.push().await?["pub"]["offset"], 2);
    }
    scene.untroubled().await
}

#[tokio::test]
async fn rooms_of_listed_users_are_closed_to_everybody_else() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut members = [user(&scene, "42").await?, user(&scene, "43").await?];
    for member in &mut members {
        let reply = member
            .request(json!({ "subscribe": { "channel": "kept:talk#42,43" } }))
            .await?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
    }
    let (stranger, _) = connect_as(&scene, "4", json!({})).await?;
    let (anonymous, _) = connect_as(&scene, "", json!({})).await?;
    for mut outsider in [stranger, anonymous] {
        for (command, room) in [
            ("subscribe", "kept:talk#42,43"),
            ("subscribe", "kept:#"),
            ("publish", "kept:talk#42,43"),
            ("history", "kept:talk#42,43"),
        ] {
            let reply = outsider
                .request(json!({ command: { "channel": room, "data": 1, "limit": 1 } }))
                .await?;
            assert_eq!(reply["error"]["code"], 103, "{command} {room}: {reply}");
        }
    }
    let reply = members[0]
        .request(json!({ "publish": { "channel": "kept:talk#42,43", "data": "hi" } }))
        .await?;
    ensure!(reply.get("publish").is_some(), "{reply}");
    assert_eq!(members[1].push().await?["pub"]["data"], "hi");
    scene.untroubled().await
}

#[tokio::test]
async fn the_api_says_what_a_subscription_is() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    for number in 1..=3 {
        publish(&scene, "kept:a", json!(number)).await?;
    }
    let (mut client, reply) = connect_as(&scene, "42", json!({})).await?;
    let id = &reply["connect"]["client"];
    let request = json!({
        "user": "42", "client": id, "channel": "kept:a", "info": { "role": "host" }, "data": { "hello": "you" },
        "override": { "force_recovery": { "value": true } } });
    let answer = scene.gateway.api("subscribe", &request).await?;
    assert_eq!(answer, json!({ "result": {} }));
    let push = client.push().await?;
    let subscribe = &push["subscribe"];
    assert_eq!(
        (
            &subscribe["recoverable"],
            &subscribe["positioned"],
            &subscribe["offset"],
            &subscribe["data"]
        ),
        (&json!(true), &json!(true), &json!(3), &json!({ "hello": "you" })),
        "{push}"
    );
    client
        .request(json!({ "publish": { "channel": "kept:a", "data": 4 } }))
        .await?;
    let push = client.push().await?;
    assert_eq!(
        push["pub"]["info"]["chan_info"],
        json!({ "role": "host" }),
        "{push}"
    );
    // Who left and came back by itself is nobody's host.
    client
        .request(json!({ "unsubscribe": { "channel": "kept:a" } }))
        .await?;
    client
        .request(json!({ "subscribe": { "channel": "kept:a" } }))
        .await?;
    client
        .request(json!({ "publish": { "channel": "kept:a", "data": 5 } }))
        .await?;
    let push = client.push().await?;
    assert_eq!(push["pub"]["info"].get("chan_info"), None, "{push}");

    // What it missed since comes behind the subscription, and the rest behind that.
    let (mut other, reply) = connect_as(&scene, "43", json!({})).await?;
    let epoch = publish(&scene, "kept:a", json!(6)).await?["epoch"].clone();
    let request = json!({
        "client": reply["connect"]["client"], "channel": "kept:a",
        "recover_since": { "offset": 4, "epoch": epoch }, "override": { "force_recovery": { "value": true } } });
    scene.gateway.api("subscribe", &request).await?;
    publish(&scene, "kept:a", json!(7)).await?;
    assert_eq!(other.push().await?["subscribe"]["offset"], 4);
    for offset in 5..=7 {
        assert_eq!(other.push().await?["pub"]["offset"], offset);
    }

    for wrong in [
        json!({ "b64data": "%" }),
        json!({ "b64info": "/w==" }),
        json!({ "b64data": "/w==" }),
        json!({ "channel": "" }),
        json!({ "user": "", "client": "no uuid" }),
        json!({ "session": "nonsense" }),
    ] {
        let mut request = json!({ "user": "42", "channel": "open:a" });
        for (name, value) in wrong.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        if wrong.get("client").is_some() {
            request["user"] = json!("");
        }
        let answer = scene.gateway.api("subscribe", &request).await?;
        assert_eq!(answer["error"]["code"], 107, "{request}");
    }
    scene.untroubled().await
}

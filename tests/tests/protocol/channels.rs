//! Names of rooms, limits and policies.

use anyhow::{Context, Result};
use natter_tests::client::Client;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::scene::{Scene, connected, member};

const POLICIES: &str = "
client: {user_id_header: x-user, anonymous: allow}
rooms:
  namespaces:
    - {name: open, subscribe: anyone, publish: anyone}
    - {name: people, subscribe: users, publish: users}
    - {name: news, subscribe: anyone, publish: server}
    - {name: inside, subscribe: anyone, publish: subscribers}
    - {name: pushed, subscribe: server, publish: server}
";

#[tokio::test]
async fn names_that_are_none_are_bad_requests() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = connected(&scene.gateway).await?;
    let watch = scene.watch().await?;
    let longest = "x".repeat(255);
    let bad = [
        format!("{longest}x"),
        "комната".into(),
        "a\0b".into(),
        "a\nb".into(),
        "a\u{7f}".into(),
    ];
    for name in &bad {
        for command in [
            json!({ "subscribe": { "channel": name } }),
            json!({ "publish": { "channel": name, "data": 1 } }),
        ] {
            let reply = client.request(command).await?;
            assert_eq!(
                reply["error"],
                json!({ "code": 107, "message": "bad request" }),
                "{name:?}"
            );
        }
        let published = scene.gateway.api_raw(
            "publish",
            Some("natter-tests"),
            json!({ "channel": name, "data": 1 }).to_string(),
        );
        let (status, body) = published.await?;
        assert_eq!((status, body.contains("107")), (200, true), "{name:?}: {body}");
    }
    for command in ["subscribe", "publish"] {
        let labels = [("command", command), ("code", "107")];
        watch.counted("natter_command_errors_total", &labels, 5).await?;
    }
    for name in [longest.as_str(), " !~ spaces and signs$ "] {
        let reply = client
            .request(json!({ "subscribe": { "channel": name } }))
            .await?;
        assert!(reply.get("subscribe").is_some(), "{name:?}: {reply}");
        client
            .request(json!({ "publish": { "channel": name, "data": name } }))
            .await?;
        let push = client.push().await?;
        assert_eq!(
            (&push["channel"], &push["pub"]["data"]),
            (&json!(name), &json!(name))
        );
    }
    watch.counted("natter_disconnects_total", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn the_129th_room_is_over_the_limit() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = connected(&scene.gateway).await?;
    let watch = scene.watch().await?;
    let join = |room: usize| json!({ "id": room + 1000, "subscribe": { "channel": format!("room-{room}") } });
    // One frame, so that most of them are still joins on their way when the last is judged.
    client.send_batch(&(0..129).map(join).collect::<Vec<_>>()).await?;
    for room in 0..128 {
        assert_eq!(
            client.recv().await?,
            json!({ "id": room + 1000, "subscribe": {} })
        );
    }
    let error = json!({ "code": 106, "message": "limit exceeded" });
    assert_eq!(client.recv().await?, json!({ "id": 1128, "error": error }));
    watch
        .counted(
            "natter_command_errors_total",
            &[("command", "subscribe"), ("code", "106")],
            1,
        )
        .await?;
    // A place that was given up can be taken.
    client
        .request(json!({ "unsubscribe": { "channel": "room-0" } }))
        .await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": "room-128" } }))
        .await?;
    assert!(reply.get("subscribe").is_some(), "{reply}");
    watch.counted("natter_subscriptions", &[], 128).await?;
    client.close().await?;
    watch.counted("natter_subscriptions", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn joining_twice_and_unknown_namespaces_are_errors_of_their_own() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = member(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let twice = client
        .request(json!({ "subscribe": { "channel": "room" } }))
        .await?;
    assert_eq!(
        twice["error"],
        json!({ "code": 105, "message": "already subscribed" })
    );
    for command in [
        json!({ "subscribe": { "channel": "nowhere:room" } }),
        json!({ "publish": { "channel": ":room", "data": 1 } }),
    ] {
        let reply = client.request(command).await?;
        assert_eq!(
            reply["error"],
            json!({ "code": 102, "message": "unknown channel" })
        );
    }
    watch
        .counted("natter_command_errors_total", &[("code", "105")], 1)
        .await?;
    watch
        .counted("natter_command_errors_total", &[("code", "102")], 2)
        .await?;
    // The failed join left the first one as it was: the message comes once.
    client
        .request(json!({ "publish": { "channel": "room", "data": 1 } }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], 1);
    scene.untroubled().await
}

#[tokio::test]
async fn publishing_nothing_is_a_bad_request() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut client = member(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let reply = client
        .request(json!({ "publish": { "channel": "room" } }))
        .await?;
    assert_eq!(reply["error"], json!({ "code": 107, "message": "bad request" }));
    watch
        .counted(
            "natter_command_errors_total",
            &[("command", "publish"), ("code", "107")],
            1,
        )
        .await?;
    let labels = [("room_namespace", "default"), ("reason", "bad_request")];
    watch
        .counted("natter_publications_refused_total", &labels, 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn policies_say_who_may_join_and_publish() -> Result<()> {
    let scene = Scene::open(POLICIES).await?;
    let (mut anonymous, mut alice) = (connected(&scene.gateway).await?, user(&scene, "alice").await?);
    let watch = scene.watch().await?;
    for (channel, by_anonymous, by_alice) in [
        ("open:a", [true, true], [true, true]),
        ("people:a", [false, false], [true, true]),
        ("news:a", [true, false], [true, false]),
        ("pushed:a", [false, false], [false, false]),
    ] {
        assert_eq!(
            may(&mut anonymous, channel).await?,
            by_anonymous,
            "{channel} for anonymous"
        );
        assert_eq!(may(&mut alice, channel).await?, by_alice, "{channel} for alice");
    }
    // Members only: first from outside, then from inside.
    let publish = json!({ "publish": { "channel": "inside:a", "data": 1 } });
    assert_eq!(anonymous.request(publish.clone()).await?["error"]["code"], 103);
    assert_eq!(may(&mut anonymous, "inside:a").await?, [true, true]);
    let labels = [("room_namespace", "news"), ("reason", "permission_denied")];
    watch
        .counted("natter_publications_refused_total", &labels, 2)
        .await?;
    watch
        .counted("natter_command_errors_total", &[("code", "103")], 9)
        .await?;
    // The server may publish everywhere.
    scene
        .gateway
        .api("publish", &json!({ "channel": "news:a", "data": "news" }))
        .await?;
    let news = alice
        .recv_where(|value| value["push"]["channel"] == "news:a")
        .await?;
    assert_eq!(
        news["push"]["pub"],
        json!({ "data": "news" }),
        "the server has no client info"
    );
    // Who says something is told to others by the name that the proxy vouched for.
    alice
        .request(json!({ "publish": { "channel": "open:a", "data": "by alice" } }))
        .await?;
    let said = anonymous
        .recv_where(|value| value["push"]["pub"]["data"] == "by alice")
        .await?;
    assert_eq!(said["push"]["pub"]["info"]["user"], "alice");
    scene.untroubled().await
}

#[tokio::test]
async fn strangers_are_turned_away_where_users_are_wanted() -> Result<()> {
    let scene = Scene::open("client: {user_id_header: x-user, anonymous: allow}").await?;
    let config = "api: {keys: [natter-tests]}\nclient: {user_id_header: x-user, anonymous: deny}\n";
    scene
        .gateway
        .write_config(&format!("{config}log: {{level: 'info,natter_gateway=debug'}}\n"))?;
    let watch = scene.watch().await?;
    scene.gateway.reload()?;
    watch
        .counted("natter_config_reloads_total", &[("result", "applied")], 1)
        .await?;
    let mut alice = user(&scene, "alice").await?;
    assert_eq!(may(&mut alice, "room").await?, [true, true]);
    let mut stranger = Client::connect(&scene.gateway.ws_url()).await?;
    stranger.send(&json!({ "id": 1, "connect": {} })).await?;
    assert_eq!(stranger.close_frame().await?, (3500, "invalid token".to_owned()));
    watch.cut("invalid_token", 3500).await?;
    scene.untroubled().await
}

/// Whether a client may join a room, and whether it may publish there; 103 is the only other answer.
async fn may(client: &mut Client, channel: &str) -> Result<[bool; 2]> {
    let mut answers = [false; 2];
    let commands = [
        json!({ "subscribe": { "channel": channel } }),
        json!({ "publish": { "channel": channel, "data": 1 } }),
    ];
    for (answer, command) in answers.iter_mut().zip(commands) {
        let reply = client.request(command).await?;
        *answer = reply.get("error").is_none();
        assert_eq!(
            reply["error"]["code"],
            if *answer { Value::Null } else { json!(103) },
            "{channel}"
        );
    }
    Ok(answers)
}

/// A client for which an authenticating proxy vouches.
pub(crate) async fn user(scene: &Scene, name: &str) -> Result<Client> {
    let mut request = scene.gateway.ws_url().into_client_request()?;
    request.headers_mut().insert("x-user", name.parse()?);
    let mut client = Client::open(request).await.context("as a user")?;
    client.request(json!({ "connect": {} })).await?;
    Ok(client)
}

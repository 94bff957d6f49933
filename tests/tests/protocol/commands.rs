//! Commands that are in order: connect, subscribe, publish, unsubscribe, and those that nothing stands behind yet.

use anyhow::Result;
use natter_tests::client::Client;
use serde_json::{Value, json};

use crate::scene::{connected, gateway, member, settle};

#[tokio::test]
async fn a_conversation_from_connect_to_leave() -> Result<()> {
    let gateway = gateway("client: {user_id_header: x-user, anonymous: allow}").await?;
    let (mut alice, hello) = Client::connected(&gateway.ws_url(), json!({ "name": "test" })).await?;
    let id = hello["client"].as_str().unwrap_or_default().to_owned();
    assert_eq!(id.len(), 36, "{hello}");
    assert_eq!((&hello["ping"], &hello["pong"]), (&json!(25), &json!(true)));
    assert_eq!(
        hello.as_object().unwrap().len(),
        4,
        "client, version, ping, pong: {hello}"
    );

    let reply = alice
        .request(json!({ "subscribe": { "channel": "room" } }))
        .await?;
    assert_eq!(reply, json!({ "id": 2, "subscribe": {} }));
    let mut bob = member(&gateway, "room").await?;

    let reply = alice
        .request(json!({ "publish": { "channel": "room", "data": "hi" } }))
        .await?;
    assert_eq!(reply, json!({ "id": 3, "publish": {} }));
    let expected =
        json!({ "channel": "room", "pub": { "data": "hi", "info": { "user": "", "client": id } } });
    assert_eq!(alice.push().await?, expected, "her own message");
    assert_eq!(bob.push().await?, expected);

    let reply = alice
        .request(json!({ "unsubscribe": { "channel": "room" } }))
        .await?;
    assert_eq!(reply, json!({ "id": 4, "unsubscribe": {} }));
    let again = alice
        .request(json!({ "unsubscribe": { "channel": "room" } }))
        .await?;
    assert_eq!(
        again,
        json!({ "id": 5, "unsubscribe": {} }),
        "leaving twice is no error"
    );
    bob.request(json!({ "publish": { "channel": "room", "data": "alone" } }))
        .await?;
    assert_eq!(bob.push().await?["pub"]["data"], "alone");
    settle(&mut alice).await?;
    assert_eq!(alice.waiting().count(), 0, "nothing arrives after leaving");
    alice.close().await?;
    bob.close().await
}

#[tokio::test]
async fn own_messages_are_echoed_exactly_once_and_in_order() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = member(&gateway, "room").await?;
    let commands: Vec<_> = (0..200)
        .map(|number| json!({ "id": number + 100, "publish": { "channel": "room", "data": number } }))
        .collect();
    client.send_batch(&commands).await?;
    for number in 0..200 {
        assert_eq!(client.push().await?["pub"]["data"], number);
    }
    settle(&mut client).await?;
    let waiting: Vec<_> = client
        .waiting()
        .filter(|value| value.get("push").is_some())
        .collect();
    assert!(waiting.is_empty(), "echoed twice: {waiting:?}");
    Ok(())
}

/// A join waits for the bus; commands behind it that are answered at once must not overtake its reply.
#[tokio::test]
async fn a_batch_is_answered_in_order_also_while_joins_wait() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    let mut commands = vec![json!({ "connect": {} })];
    for room in 0..30 {
        let channel = format!("room-{room}");
        commands.push(json!({ "subscribe": { "channel": channel } }));
        commands.push(json!({ "rpc": { "method": "m" } }));
        commands.push(json!({ "subscribe": { "channel": channel } })); // already on its way: 105
        commands.push(json!({ "publish": { "channel": "elsewhere", "data": room } }));
        commands.push(json!({ "unsubscribe": { "channel": channel } }));
        commands.push(json!({ "subscribe": { "channel": channel } }));
    }
    number(&mut commands);
    client.send_batch(&commands).await?;
    for command in &commands {
        let reply = client.recv().await?;
        assert_eq!(
            reply["id"], command["id"],
            "{reply} where the reply to {command} was due"
        );
        let is_second = command["id"].as_u64() != Some(1) && (command["id"].as_u64().unwrap() - 2) % 6 == 2;
        let expected = if is_second {
            json!(105)
        } else if command.get("rpc").is_some() {
            json!(108)
        } else {
            Value::Null
        };
        assert_eq!(reply["error"]["code"], expected, "{command}: {reply}");
    }
    Ok(())
}

/// Commands of one client take effect in their order: who joins and then speaks hears itself, and is a member for the
/// policy, although the join still waits for the bus when the message comes.
#[tokio::test]
async fn a_message_right_behind_the_join_is_echoed() -> Result<()> {
    let gateway =
        gateway("rooms: {namespaces: [{name: club, subscribe: anyone, publish: subscribers}]}").await?;
    let mut client = connected(&gateway).await?;
    for round in 0..20 {
        let channel = format!("club:{round}");
        let mut commands = vec![
            json!({ "subscribe": { "channel": channel } }),
            json!({ "publish": { "channel": channel, "data": 1 } }),
            json!({ "publish": { "channel": channel, "data": 2 } }),
            json!({ "publish": { "channel": channel } }), // of nothing
            json!({ "unsubscribe": { "channel": channel } }),
        ];
        // Taken back at once on odd rounds: the messages are said all the same.
        if round % 2 == 0 {
            commands.pop();
        }
        for (index, command) in commands.iter_mut().enumerate() {
            command["id"] = json!(10 * (round + 1) + index);
        }
        client.send_batch(&commands).await?;
        let mut replies = Vec::new();
        for command in &commands {
            let reply = client.recv_where(|value| value.get("id").is_some()).await?;
            assert_eq!(reply["id"], command["id"], "{command}: {reply}");
            replies.push(reply);
        }
        assert_eq!(replies[3]["error"]["code"], 107);
        assert!(
            replies[..3].iter().all(|reply| reply.get("error").is_none()),
            "{replies:?}"
        );
        if round % 2 == 0 {
            for data in [1, 2] {
                let is_own = |value: &Value| value["push"]["channel"] == *channel;
                assert_eq!(client.recv_where(is_own).await?["push"]["pub"]["data"], data);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn leaving_and_joining_in_one_frame_makes_one_membership() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = connected(&gateway).await?;
    let mut commands = Vec::new();
    for _ in 0..20 {
        commands.push(json!({ "subscribe": { "channel": "room" } }));
        commands.push(json!({ "unsubscribe": { "channel": "room" } }));
    }
    commands.push(json!({ "subscribe": { "channel": "room" } }));
    number(&mut commands);
    client.send_batch(&commands).await?;
    for command in &commands {
        let reply = client.recv_where(|value| value["id"] == command["id"]).await?;
        assert!(reply.get("error").is_none(), "{command}: {reply}");
    }
    gateway
        .api("publish", &json!({ "channel": "room", "data": 1 }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], 1);
    settle(&mut client).await?;
    assert_eq!(client.waiting().count(), 0, "delivered twice");
    let memberships = gateway.metrics().await?.value("natter_subscriptions", &[]);
    assert_eq!(memberships, Some(1.0));
    Ok(())
}

#[tokio::test]
async fn what_nothing_stands_behind_is_not_available() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = connected(&gateway).await?;
    let before = gateway.metrics().await?;
    for (name, request) in [
        ("rpc", json!({ "method": "m", "data": {} })),
        ("presence", json!({ "channel": "room" })),
        ("presence_stats", json!({ "channel": "room" })),
        ("history", json!({ "channel": "room", "limit": 10 })),
    ] {
        let mut command = json!({});
        command[name] = request;
        let reply = client.request(command).await?;
        assert_eq!(
            reply["error"],
            json!({ "code": 108, "message": "not available" }),
            "{name}"
        );
        let labels = [("command", name), ("code", "108")];
        assert_eq!(before.value("natter_command_errors_total", &labels), None);
        let after = gateway.metrics().await?;
        assert_eq!(
            after.value("natter_command_errors_total", &labels),
            Some(1.0),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn frames_are_read_generously_where_it_does_no_harm() -> Result<()> {
    let gateway = gateway("").await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    // A binary frame; blanks, carriage returns and empty lines; fields of newer versions; nulls for absent fields.
    let frame = "\n \t{\"id\":1,\"connect\":{\"token\":null,\"since\":[9]}}\r\n\r\n\
        {\"id\":2, \"subscribe\" : {\"channel\":\"room\",\"data\":{},\"future\":true}, \"publish\":null}\n\n";
    client.send_binary(frame).await?;
    assert!(client.recv().await?.get("connect").is_some());
    assert_eq!(client.recv().await?, json!({ "id": 2, "subscribe": {} }));
    Ok(())
}

fn number(commands: &mut [Value]) {
    for (index, command) in commands.iter_mut().enumerate() {
        command["id"] = json!(index + 1);
    }
}

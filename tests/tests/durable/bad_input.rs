//! What makes no sense: each door says so with the same error, counts it, and nobody else notices.

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::API_KEY;
use serde_json::{Value, json};

use crate::support::{LIMIT, Place, World, connect, found, join, newcomer, next, on_both_buses, refusal};

on_both_buses!(
    requests_for_history_that_make_no_sense_are_refused_at_every_door,
    numbers_that_no_position_has_end_the_connection_that_sent_them,
    options_that_a_durable_room_cannot_keep_are_refused,
);

const MESSAGES: &str = "/v1/rooms/log:room/messages";

/// Status and body of a REST listing.
async fn list(world: &World, path: &str) -> Result<(u16, Value)> {
    let url = format!("{}{path}", world.gateway.http_url());
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let response = http.get(url).header("x-api-key", API_KEY).send().await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_str(&response.text().await?)?))
}

async fn counted(world: &World, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let metrics = world.gateway.metrics().await?;
    Ok(metrics.value(name, labels).unwrap_or(0.0))
}

/// What is said next is the next that the bystander hears.
async fn assert_undisturbed(world: &World, bystander: &mut Client) -> Result<()> {
    let said = world.publish("log:room", "undisturbed").await?;
    assert_eq!(next(bystander).await?, (said.offset, json!("undisturbed")));
    Ok(())
}

async fn requests_for_history_that_make_no_sense_are_refused_at_every_door(world: &World) -> Result<()> {
    let (mut bystander, _) = newcomer(&world.gateway, "log:room").await?;
    let all = world.publish_all("log:room", 5).await?;
    for offset in &all {
        assert_eq!(next(&mut bystander).await?.0, *offset);
    }
    let head = Place::of(&world.history(json!({ "channel": "log:room" })).await?)?;
    let since = |epoch: &str, offset: u64| json!({ "epoch": epoch, "offset": offset });
    let mut client = connect(&world.gateway).await?;
    for (request, code) in [
        (json!({ "limit": 1, "since": since("another", all[1]) }), 112),
        (json!({ "since": since("another", 0) }), 112),
        (
            json!({ "limit": 1, "since": since("another", u64::MAX), "reverse": true }),
            112,
        ),
        (
            json!({ "limit": 1, "since": since(&head.epoch, 0), "reverse": true }),
            107,
        ),
        (
            json!({ "limit": 1, "since": since("another", 0), "reverse": true }),
            107,
        ),
        (json!({ "limit": -1, "since": {}, "reverse": true }), 107),
    ] {
        let mut request = request;
        request["channel"] = "log:room".into();
        let label = code.to_string();
        let (socket, api) = (
            [("command", "history"), ("code", label.as_str())],
            [("method", "history"), ("code", label.as_str())],
        );
        let before = counted(world, "natter_command_errors_total", &socket).await?
            + counted(world, "natter_api_requests_total", &api).await?;
        let history = json!({ "history": request });
        assert_eq!(refusal(&mut client, history).await?, code, "socket: {request}");
        let answer = world.gateway.api("history", &request).await?;
        assert_eq!(answer["error"]["code"], code, "server API: {request}: {answer}");
        let after = counted(world, "natter_command_errors_total", &socket).await?
            + counted(world, "natter_api_requests_total", &api).await?;
        assert!(
            (after - before - 2.0).abs() < 0.5,
            "{request}: {before} to {after}"
        );
    }
    // Nothing is ahead of the newest.
    for offset in [head.offset + 1, u64::MAX] {
        let request = json!({ "channel": "log:room", "limit": 9, "since": since(&head.epoch, offset) });
        let reply = client.request(json!({ "history": request })).await?;
        assert_eq!(reply["history"]["publications"], json!([]), "{reply}");
        assert_eq!(world.history(request).await?, reply["history"]);
    }
    assert_undisturbed(world, &mut bystander).await?;
    listings_that_make_no_sense(world).await?;
    assert_undisturbed(world, &mut bystander).await
}

async fn listings_that_make_no_sense(world: &World) -> Result<()> {
    world.publish_all("log:other", 5).await?;
    let (status, page) = list(world, "/v1/rooms/log:other/messages?limit=4").await?;
    ensure!(status == 200, "{page}");
    let elsewhere = page["next"].as_str().context("a next page")?;
    for (query, status, code) in [
        ("limit=0".to_owned(), 400, 107),
        ("limit=-1".to_owned(), 400, 107),
        ("limit=1001".to_owned(), 400, 107),
        (format!("limit={}", u64::MAX), 400, 107),
        (format!("limit={}0", u64::MAX), 400, 107),
        ("cursor=junk".to_owned(), 400, 107),
        (format!("cursor={}", "x".repeat(10 * 1024)), 400, 107),
        // The place is one of another room.
        (format!("cursor={elsewhere}"), 410, 112),
    ] {
        let label = [("method", "list_messages"), ("code", &*format!("{code}"))];
        let before = counted(world, "natter_api_requests_total", &label).await?;
        let (given, body) = list(world, &format!("{MESSAGES}?{query}")).await?;
        assert_eq!((given, &body["error"]["code"]), (status, &json!(code)), "{body}");
        let after = counted(world, "natter_api_requests_total", &label).await?;
        assert!((after - before - 1.0).abs() < 0.5, "{query}: {before} to {after}");
    }
    Ok(())
}

async fn numbers_that_no_position_has_end_the_connection_that_sent_them(world: &World) -> Result<()> {
    let (mut bystander, _) = newcomer(&world.gateway, "log:room").await?;
    for request in [
        r#"{"id":9,"history":{"channel":"log:room","limit":2147483648}}"#,
        r#"{"id":9,"history":{"channel":"log:room","limit":1.5}}"#,
        r#"{"id":9,"history":{"channel":"log:room","limit":"1"}}"#,
        r#"{"id":9,"history":{"channel":"log:room","since":{"offset":-1}}}"#,
        r#"{"id":9,"history":{"channel":"log:room","since":{"offset":18446744073709551616}}}"#,
        r#"{"id":9,"subscribe":{"channel":"log:room","recover":true,"offset":-1}}"#,
        r#"{"id":9,"history":{}}"#,
    ] {
        let errors = counted(world, "natter_protocol_errors_total", &[]).await?;
        let mut client = connect(&world.gateway).await?;
        client.send_text(request).await?;
        assert_eq!(client.close_frame().await?.0, 3501, "{request}");
        let more = counted(world, "natter_protocol_errors_total", &[]).await?;
        assert!((more - errors - 1.0).abs() < 0.5, "{request}: {errors} to {more}");
    }
    assert_undisturbed(world, &mut bystander).await
}

async fn options_that_a_durable_room_cannot_keep_are_refused(world: &World) -> Result<()> {
    let (mut bystander, _) = newcomer(&world.gateway, "log:room").await?;
    let mut guest = connect(&world.gateway).await?;
    join(&mut guest, "lobby", &json!({})).await?;
    for option in [
        json!({ "skip_history": true }),
        json!({ "version": 3, "version_epoch": "e" }),
    ] {
        let refused = [("namespace", "log"), ("reason", "not_available")];
        let before = counted(world, "natter_publications_refused_total", &refused).await?;
        let mut request = option.clone();
        request["data"] = 1.into();
        request["channel"] = "log:room".into();
        let answer = world.gateway.api("publish", &request).await?;
        assert_eq!(answer["error"]["code"], 108, "{request}: {answer}");
        request["channels"] = json!(["log:room", "lobby"]);
        let answer = world.gateway.api("broadcast", &request).await?;
        let responses = &answer["result"]["responses"];
        assert_eq!(
            (&responses[0]["error"]["code"], &responses[1]["result"]),
            (&json!(108), &json!({})),
            "without history the options mean nothing: {answer}"
        );
        assert_eq!(guest.push().await?["pub"]["data"], 1);
        let after = counted(world, "natter_publications_refused_total", &refused).await?;
        assert!(
            (after - before - 2.0).abs() < 0.5,
            "{option}: {before} to {after}"
        );
    }
    for option in [
        json!({ "skip_history": false, "version": 0 }),
        json!({ "skip_history": null, "version": null }),
    ] {
        let mut request = option;
        request["data"] = "plain".into();
        request["channel"] = "log:room".into();
        let answer = world.gateway.api("publish", &request).await?;
        let place = Place::of(&answer["result"]).with_context(|| format!("{answer}"))?;
        assert_eq!(next(&mut bystander).await?, (place.offset, json!("plain")));
    }
    let page = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    assert_eq!(found(&page).len(), 2, "{page}");
    assert_undisturbed(world, &mut bystander).await
}

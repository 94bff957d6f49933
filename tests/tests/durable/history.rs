//! The history command of clients and of the server API, and forgetting.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::{
    Place, World, assert_not_recovered, assert_recovered, come_back, connect, found, join, newcomer, next,
    on_both_buses, refusal,
};

on_both_buses!(
    pages_of_every_kind,
    who_may_not_read_is_told_why,
    forgetting_keeps_epoch_and_offsets,
    a_page_has_what_was_said_and_by_whom,
);

async fn pages_of_every_kind(world: &World) -> Result<()> {
    let all = world.publish_all("log:room", 10).await?;
    let head = Place::of(&world.history(json!({ "channel": "log:room" })).await?)?;
    assert_eq!(head.offset, all[9]);
    let mut client = connect(&world.gateway).await?;
    let at = |offset: u64| json!({ "epoch": head.epoch, "offset": offset });
    let reversed: Vec<u64> = all.iter().rev().copied().collect();
    for (request, expected) in [
        (json!({}), &[][..]),
        (json!({ "limit": 0, "since": at(all[2]) }), &[]),
        (json!({ "limit": 3 }), &all[..3]),
        (json!({ "limit": -1 }), &all[..]),
        (json!({ "limit": i32::MIN }), &all),
        (json!({ "limit": i32::MAX }), &all),
        (json!({ "limit": 4, "reverse": true }), &reversed[..4]),
        (json!({ "limit": -1, "reverse": true }), &reversed),
        (json!({ "limit": -1, "since": at(all[6]) }), &all[7..]),
        (json!({ "limit": 2, "since": at(all[6]) }), &all[7..9]),
        (json!({ "limit": -1, "since": at(0) }), &all),
        (json!({ "limit": -1, "since": { "offset": all[7] } }), &all[8..]),
        (
            json!({ "limit": -1, "since": at(all[3]), "reverse": true }),
            &reversed[7..],
        ),
        (
            json!({ "limit": 1, "since": at(all[3]), "reverse": true }),
            &reversed[7..8],
        ),
        (json!({ "limit": -1, "since": at(all[9]) }), &[]),
        (json!({ "limit": -1, "since": at(all[9] + 1) }), &[]),
        (json!({ "limit": -1, "since": at(u64::MAX) }), &[]),
        (
            json!({ "limit": -1, "since": at(u64::MAX), "reverse": true }),
            &[],
        ),
    ] {
        let mut request = request;
        request["channel"] = "log:room".into();
        let reply = client.request(json!({ "history": request })).await?;
        let page = &reply["history"];
        assert_eq!(
            (found(page), Place::of(page)?),
            (expected.to_vec(), head.clone()),
            "{request}: {reply}"
        );
        assert!(page["publications"].is_array(), "{reply}");
        assert_eq!(
            &world.history(request.clone()).await?,
            page,
            "the server API: {request}"
        );
    }
    let wrong = json!({ "channel": "log:room", "limit": 1, "since": { "epoch": "another", "offset": 1 } });
    assert_eq!(refusal(&mut client, json!({ "history": wrong })).await?, 112);
    assert_eq!(world.gateway.api("history", &wrong).await?["error"]["code"], 112);

    world.fill("log:room", 350).await?;
    let many = client
        .request(json!({ "history": { "channel": "log:room", "limit": -1 } }))
        .await?;
    assert_eq!(found(&many["history"]).len(), 300, "client.history_limit");
    let many = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    assert_eq!(found(&many).len(), 360);
    Ok(())
}

async fn who_may_not_read_is_told_why(world: &World) -> Result<()> {
    let mut client = connect(&world.gateway).await?;
    let history = |room: &str| json!({ "history": { "channel": room, "limit": 1 } });
    assert_eq!(refusal(&mut client, history("lobby")).await?, 108);
    assert_eq!(refusal(&mut client, history("nowhere:room")).await?, 102);
    assert_eq!(refusal(&mut client, history("closed:room")).await?, 103);
    assert_eq!(refusal(&mut client, history("members:room")).await?, 103);
    join(&mut client, "members:room", &json!({})).await?;
    let reply = client.request(history("members:room")).await?;
    assert!(reply.get("history").is_some(), "a member may: {reply}");
    for (room, code) in [("lobby", 108), ("nowhere:room", 102)] {
        let request = json!({ "channel": room, "limit": 1 });
        for method in ["history", "history_remove"] {
            assert_eq!(
                world.gateway.api(method, &request).await?["error"]["code"],
                code,
                "{method} {room}"
            );
        }
    }
    Ok(())
}

async fn forgetting_keeps_epoch_and_offsets(world: &World) -> Result<()> {
    let (mut stays, _) = newcomer(&world.gateway, "log:room").await?;
    let all = world.publish_all("log:room", 5).await?;
    for _ in 0..5 {
        next(&mut stays).await?;
    }
    let before = Place::of(&world.history(json!({ "channel": "log:room" })).await?)?;
    let removed = world
        .gateway
        .api("history_remove", &json!({ "channel": "log:room" }))
        .await?;
    assert_eq!(removed["result"], json!({}), "{removed}");

    let after = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    let place = Place::of(&after)?;
    assert_eq!((found(&after), &place.epoch), (Vec::new(), &before.epoch));
    assert!(place.offset >= before.offset, "{place:?} after {before:?}");
    // Who has all of it lost nothing; who has not cannot get it, although its room is live and its messages were at hand.
    let (client, result) = come_back(&world.gateway, "log:room", &before).await?;
    assert_recovered(&result, &before, &[]);
    drop(client);
    let (client, result) = come_back(&world.gateway, "log:room", &before.at(all[2])).await?;
    assert_not_recovered(&result, Place::of(&result)?.offset);
    drop(client);

    let fresh = world.publish("log:room", "fresh").await?;
    assert!(fresh.epoch == before.epoch && fresh.offset > before.offset);
    assert_eq!(next(&mut stays).await?, (fresh.offset, json!("fresh")));
    let page = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    assert_eq!(found(&page), [fresh.offset]);
    // A room that never was can be forgotten too.
    let removed = world
        .gateway
        .api("history_remove", &json!({ "channel": "log:never" }))
        .await?;
    assert_eq!(removed["result"], json!({}), "{removed}");
    Ok(())
}

async fn a_page_has_what_was_said_and_by_whom(world: &World) -> Result<()> {
    let (mut client, _) = newcomer(&world.gateway, "log:room").await?;
    let said = json!({ "text": "größe \u{1F600}", "big": 12_345_678_901_234_567_890_u64 });
    client
        .request(json!({ "publish": { "channel": "log:room", "data": said } }))
        .await?;
    let live = client.push().await?;
    let tagged = json!({ "channel": "log:room", "data": [], "tags": { "kind": "empty" } });
    world.gateway.api("publish", &tagged).await?;
    let tagged = client.push().await?;
    let page = client
        .request(json!({ "history": { "channel": "log:room", "limit": -1 } }))
        .await?;
    let publications = page["history"]["publications"]
        .as_array()
        .context("publications")?;
    assert_eq!(publications, &[live["pub"].clone(), tagged["pub"].clone()]);
    assert_eq!(publications[0]["data"], said);
    assert!(publications[0]["info"]["client"].is_string(), "{page}");
    assert_eq!(publications[1]["tags"], json!({ "kind": "empty" }));
    assert_eq!(publications[1].get("info"), None::<&Value>);
    Ok(())
}

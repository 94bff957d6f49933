//! Recovery mode `cache`: who comes gets the newest publication, whatever it has.

use anyhow::Result;
use serde_json::json;

use crate::support::{
    Place, World, assert_not_recovered, assert_recovered, come_back, connect, found, join, next,
    on_both_buses, recover,
};

on_both_buses!(only_the_newest_comes);

async fn only_the_newest_comes(world: &World) -> Result<()> {
    let nothing = Place {
        epoch: String::new(),
        offset: 0,
    };
    let (client, result) = come_back(&world.gateway, "cache:room", &nothing).await?;
    assert_not_recovered(&result, 0);
    drop(client);

    let all = world.publish_all("cache:room", 5).await?;
    let head = Place::of(&world.history(json!({ "channel": "cache:room" })).await?)?;
    let elsewhere = Place {
        epoch: "another".to_owned(),
        offset: 9_999,
    };
    for place in [
        nothing,
        head.at(all[0]),
        head.at(all[3]),
        elsewhere,
        head.at(77_777),
    ] {
        let (mut client, result) = come_back(&world.gateway, "cache:room", &place).await?;
        assert_eq!(
            (&result["recovered"], found(&result)),
            (&json!(true), vec![all[4]]),
            "{place:?}: {result}"
        );
        assert_eq!(Place::of(&result)?, head, "{place:?}");
        assert_eq!(client.waiting().count(), 0);
        client.close().await?;
        client = connect(&world.gateway).await?;
        let result = join(&mut client, "cache:room", &recover(&head)).await?;
        assert_recovered(&result, &head, &[]);
    }
    let (mut client, _) = come_back(&world.gateway, "cache:room", &head).await?;
    let live = world.publish("cache:room", "live").await?;
    assert_eq!(next(&mut client).await?, (live.offset, json!("live")));
    Ok(())
}

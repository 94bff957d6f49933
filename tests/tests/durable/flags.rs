//! Who is given a position: those who ask and may read history, and everybody where it is forced.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::{World, connect, join, on_both_buses};

on_both_buses!(flags_are_granted_by_policy, without_history_nothing_is_granted);

async fn flags_are_granted_by_policy(world: &World) -> Result<()> {
    let nothing = json!({});
    let positioned = json!({ "positioned": true });
    let recoverable = json!({ "recoverable": true });
    for (room, asks, is_positioned, is_recoverable) in [
        ("log:a", &nothing, false, false),
        ("log:a", &positioned, true, false),
        ("log:a", &recoverable, true, true),
        ("members:a", &recoverable, true, true),
        ("closed:a", &positioned, false, false),
        ("closed:a", &recoverable, false, false),
        ("watched:a", &nothing, true, false),
        ("watched:a", &recoverable, true, false),
        ("recovery:a", &nothing, true, true),
        ("recovery:a", &positioned, true, true),
    ] {
        let place = world.publish(room, 1).await?;
        let mut client = connect(&world.gateway).await?;
        let result = join(&mut client, room, asks).await?;
        let granted = |name: &str| result.get(name) == Some(&Value::Bool(true));
        assert_eq!(
            (granted("positioned"), granted("recoverable")),
            (is_positioned, is_recoverable),
            "{room} {asks}: {result}"
        );
        let told = is_positioned.then_some((json!(place.epoch), json!(place.offset)));
        let given = result.get("epoch").cloned().zip(result.get("offset").cloned());
        assert_eq!(given, told, "{room} {asks}: {result}");
        assert!(!granted("was_recovering") && !granted("recovered"), "{result}");
    }
    // Who may not recover does not, and is told that it did not.
    let mut client = connect(&world.gateway).await?;
    let asks = json!({ "recover": true, "recoverable": true, "offset": 1, "epoch": "" });
    let result = join(&mut client, "closed:a", &asks).await?;
    assert_eq!(result, json!({ "was_recovering": true }));
    Ok(())
}

async fn without_history_nothing_is_granted(world: &World) -> Result<()> {
    let mut client = connect(&world.gateway).await?;
    let asks = json!({ "recover": true, "recoverable": true, "positioned": true, "epoch": "e", "offset": 3 });
    let told = json!({ "was_recovering": true });
    assert_eq!(join(&mut client, "lobby", &asks).await?, told);
    Ok(())
}

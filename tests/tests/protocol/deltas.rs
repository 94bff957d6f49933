//! Differences between publications, undone by code that is not ours: the JavaScript SDK and its decoder.

use std::time::Duration;

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use fastrand::Rng;
use natter_protocol::delta;
use natter_tests::node;
use natter_tests::script::Script;
use serde_json::{Value, json};

use crate::scene::{Scene, connected, gateway};

const SCRIPT_LIMIT: Duration = Duration::from_secs(30);
const PUBLICATIONS: usize = 400;
const WORDS: [&str; 8] = ["deploy", "ready?", "\"quoted\"", "\\", "日本", "日木", "😀", "😁"];

#[tokio::test]
async fn the_javascript_sdk_undoes_them() -> Result<()> {
    let script = node::start("sdk/delta.mjs", &[], &[])?;
    let mut random = Rng::with_seed(7);
    let mut shorter = 0;
    let mut state: Vec<Value> = Vec::new();
    let mut before = String::from("[]");
    for _ in 0..PUBLICATIONS {
        change(&mut state, &mut random);
        let after = json!(state).to_string();
        let len = hand_over(&script, before.as_bytes(), after.as_bytes(), true)?;
        shorter += usize::from(len < after.len());
        before = after;
    }
    ensure!(shorter > PUBLICATIONS * 9 / 10, "{shorter} deltas were shorter");

    let mut before = Vec::new();
    for _ in 0..PUBLICATIONS {
        let mut after = before.clone();
        let at = random.usize(..=after.len());
        let until = random.usize(at..=after.len().min(at + 40));
        let new = std::iter::repeat_with(|| random.u8(..))
            .take(50)
            .collect::<Vec<_>>();
        after.splice(at..until, new);
        hand_over(&script, &before, &after, false)?;
        before = after;
    }

    script.close_stdin();
    let summary = script
        .expect_json(|line| line["event"] == "summary", SCRIPT_LIMIT)
        .await?;
    ensure!(summary["count"] == 2 * PUBLICATIONS, "{summary}");
    script.wait_success(SCRIPT_LIMIT).await
}

const ROOMS: &str = "rooms: {namespaces: [\
    {name: document, subscribe: anyone, delta: fossil, history: {size: 1000, read: anyone, force_recovery: true}},\
    {name: live, subscribe: anyone, delta: fossil},\
    {name: plain, subscribe: anyone}]}\n";

#[tokio::test]
async fn the_javascript_sdk_follows_a_document() -> Result<()> {
    let gateway = gateway(ROOMS).await?;
    let host = gateway.public().to_string();
    let script = node::start("sdk/document.mjs", &[], &[("NATTER_HOST", &host)])?;
    let next = async |event: &str| {
        let fits = |line: &Value| line["event"] == event || line["event"] == "failed";
        let line = script.expect_json(fits, SCRIPT_LIMIT).await?;
        ensure!(line["event"] == event, "{line}");
        anyhow::Ok(())
    };
    next("joined").await?;
    let mut random = Rng::with_seed(11);
    let mut state: Vec<Value> = (0..40)
        .map(|id| json!({ "id": id, "text": "as it was" }))
        .collect();
    for _ in 0..PUBLICATIONS / 4 {
        change(&mut state, &mut random);
        let request = json!({ "channel": "document:one", "data": state });
        gateway.api("publish", &request).await?;
        script.send_line(&json!(state).to_string())?;
    }
    script.close_stdin();
    next("summary").await?;
    script.wait_success(SCRIPT_LIMIT).await
}

#[tokio::test]
async fn members_are_given_differences_only_where_both_sides_can() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut client = connected(&scene.gateway).await?;
    let mut other = connected(&scene.gateway).await?;
    let ask = |channel: &str, delta: &str| json!({ "subscribe": { "channel": channel, "delta": delta } });
    for (channel, delta, expected) in [
        ("live:a", "fossil", json!({ "delta": true })),
        ("plain:a", "fossil", json!({})),
    ] {
        assert_eq!(client.request(ask(channel, delta)).await?["subscribe"], expected);
    }
    assert_eq!(
        client.request(ask("live:b", "bsdiff")).await?["error"]["code"],
        107
    );
    assert_eq!(other.request(ask("live:a", "")).await?["subscribe"], json!({}));

    let text = |last: u32| json!({ "long": "a text that stays as it was from one to the next", "n": last });
    for (n, is_delta) in [(1, false), (2, true), (3, true)] {
        let request = json!({ "channel": "live:a", "data": text(n) });
        scene.gateway.api("publish", &request).await?;
        let given = client.push().await?["pub"].clone();
        assert_eq!(given["delta"] == true, is_delta, "{given}");
        ensure!(given["data"].is_string(), "{given}");
        assert_eq!(other.push().await?["pub"]["data"], text(n));
    }
    // Who comes later has nothing that a difference could be to.
    assert_eq!(
        other.request(ask("live:c", "fossil")).await?["subscribe"]["delta"],
        true
    );
    let request = json!({ "channel": "live:c", "data": text(4) });
    scene.gateway.api("publish", &request).await?;
    assert_eq!(other.push().await?["pub"]["data"], text(4).to_string());
    scene.untroubled().await
}

/// Some entry is added, edited or taken away.
fn change(state: &mut Vec<Value>, random: &mut Rng) {
    let at = random.usize(..=state.len());
    if random.u8(..4) == 0 && at < state.len() {
        state.remove(at);
        return;
    }
    let text: Vec<_> = std::iter::repeat_with(|| random.choice(WORDS))
        .take(6)
        .flatten()
        .collect();
    let entry = json!({ "id": random.u32(..1000), "user": "anna", "text": text.concat() });
    if random.bool() && at < state.len() {
        state[at] = entry;
    } else {
        state.insert(at, entry);
    }
}

/// Gives the script a pair and its delta, whose length is returned.
fn hand_over(script: &Script, origin: &[u8], target: &[u8], is_json: bool) -> Result<usize> {
    let delta = delta::encode(origin, target);
    let [origin, target, encoded] = [origin, target, &delta].map(|bytes| BASE64_STANDARD.encode(bytes));
    let pair = json!({ "origin": origin, "target": target, "delta": encoded, "json": is_json });
    script.send_line(&pair.to_string())?;
    Ok(delta.len())
}

//! Deltas between publications, undone by code that is not ours: the decoder of the JavaScript SDK.

use std::time::Duration;

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use fastrand::Rng;
use natter_protocol::delta;
use natter_tests::node;
use natter_tests::script::Script;
use serde_json::{Value, json};

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

//! Rooms of any bytes.

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::node;
use serde_json::json;

use crate::scene::{LIMIT, Scene};

const ROOMS: &str = "rooms: {namespaces: [
  {name: bytes, subscribe: anyone, publish: anyone, payload: binary, history: {size: 100, ttl: 1h, read: anyone}},
  {name: texts, subscribe: anyone, publish: anyone}]}\n";

#[tokio::test]
async fn rooms_of_bytes_are_for_those_who_take_them() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let host = scene.gateway.public().to_string();
    let script = node::start("sdk/bytes.mjs", &[], &[("NATTER_HOST", &host)])?;
    let fits = |line: &serde_json::Value| line["event"] == "ready" || line["event"] == "failed";
    let line = script.expect_json(fits, 2 * LIMIT).await?;
    ensure!(line["event"] == "ready", "{line}");
    let sent = [0_u8, 10, 13, 0xff, b'"'];
    let data = BASE64_STANDARD.encode(sent);
    scene
        .gateway
        .api("publish", &json!({ "channel": "bytes:x", "b64data": data }))
        .await?;
    script.wait_success(2 * LIMIT).await?;

    let history = scene
        .gateway
        .api(
            "history",
            &json!({ "channel": "bytes:x", "limit": 10, "reverse": true }),
        )
        .await?;
    let newest = &history["result"]["publications"][0];
    ensure!(
        newest["b64data"] == data && newest.get("data").is_none(),
        "{history}"
    );
    let refused = scene
        .gateway
        .api("publish", &json!({ "channel": "texts:x", "b64data": data }))
        .await?;
    ensure!(refused["error"]["code"] == 107, "{refused}");
    scene.untroubled().await
}

//! Gateways of two versions share the bus in every roll: what a gateway says is recorded, and what was recorded of a
//! format is understood as long as a gateway promises it (its own format and the one before).
//!
//! `tests/fixtures/bus/format-1.json` holds the messages of a small scene. When a gateway says something else than what
//! is recorded there, the format has to be raised and recorded beside it: `NATTER_RECORD=1 cargo test -p natter-tests
//! --test nats formats` writes the file.

mod recorded;
mod said;
mod understood;

use std::collections::BTreeMap;

use anyhow::Result;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use serde_json::Value;

use self::recorded::{Recorded, file, recorded};
use crate::support::{builder, wait_bus};

const ROOMS: &str = "rooms:
  default: { subscribe: anyone, publish: anyone }
  namespaces:
    - { name: kept, subscribe: anyone, publish: anyone, history: { read: anyone } }
    - { name: seen, subscribe: anyone, history: {}, presence: true, join_leave: true, force_push_join_leave: true }
    - { name: few, subscribe: anyone, presence: true, presence_limit: 1 }
    - { name: bytes, subscribe: anyone, payload: binary }
";

async fn start(name: &str, nats: &NatsServer) -> Result<Gateway> {
    let gateway = builder(name, &nats.url(), ROOMS).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

#[tokio::test]
async fn what_is_said_is_what_was_recorded() -> Result<()> {
    let said = said::record().await?;
    if std::env::var_os("NATTER_RECORD").is_some() {
        std::fs::write(file(), serde_json::to_string_pretty(&said)? + "\n")?;
    }
    let shapes = |messages: &BTreeMap<String, Recorded>| -> BTreeMap<String, Value> {
        messages
            .iter()
            .map(|(name, message)| (name.clone(), message.shape()))
            .collect()
    };
    assert_eq!(
        shapes(&said),
        shapes(&recorded()?),
        "raise the format and record it beside this one"
    );
    Ok(())
}

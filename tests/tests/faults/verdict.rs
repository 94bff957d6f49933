//! What must hold at the end.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::ledger::{Ledger, Outcome, ROOMS};
use crate::reader::Reader;
use crate::scene::{LIMIT, Scene};

const PAGE: usize = 1_000;

/// Waits until every reader has what the stream has.
pub(crate) async fn settle(scene: &Scene, readers: &[Arc<Reader>]) -> Result<Vec<Vec<(u64, String)>>> {
    let mut rooms = Vec::new();
    for (number, room) in ROOMS.iter().enumerate() {
        let stored = stored(scene, room).await?;
        for (reader, held) in readers.iter().enumerate() {
            // What is too much stays too much.
            let _ = eventually("a reader has everything", LIMIT, async || {
                let count = held.held(number).messages.len();
                ensure!(
                    count >= stored.len(),
                    "reader {reader} has {count} of {} in {room}",
                    stored.len()
                );
                Ok(())
            })
            .await
            .inspect_err(|error| eprintln!("{error:#}"));
        }
        rooms.push(stored);
    }
    Ok(rooms)
}

/// The room as the server API lists it.
async fn stored(scene: &Scene, room: &str) -> Result<Vec<(u64, String)>> {
    let mut stored: Vec<(u64, String)> = Vec::new();
    loop {
        let mut request = json!({ "channel": room, "limit": PAGE });
        if let Some((offset, _)) = stored.last() {
            request["since"] = json!({ "offset": offset, "epoch": "" });
        }
        let page = scene.sites[0].gateway.api("history", &request).await?;
        let publications = page["result"]["publications"]
            .as_array()
            .with_context(|| format!("{page}"))?;
        for publication in publications {
            let offset = publication["offset"].as_u64().context("no offset")?;
            stored.push((
                offset,
                publication["data"]["id"].as_str().context("no id")?.to_owned(),
            ));
        }
        if publications.len() < PAGE {
            return Ok(stored);
        }
    }
}

/// Every reader holds exactly the acknowledged messages, and those that were stored although nobody was told.
pub(crate) fn judge(ledger: &Ledger, stored: &[Vec<(u64, String)>], readers: &[Arc<Reader>]) {
    for (room, stored) in stored.iter().enumerate() {
        let name = ROOMS[room];
        if !stored.is_sorted_by(|one, next| one.0 < next.0) {
            ledger.problem(format!("{name} is out of order in the stream"));
        }
        against_writers(ledger, room, stored);
        for (number, reader) in readers.iter().enumerate() {
            let held = reader.held(room).messages;
            if held != *stored {
                let difference = held.iter().zip(stored).position(|(held, stored)| held != stored);
                ledger.problem(format!(
                    "reader {number} holds {} messages of {name}, the stream {}; the first difference is at {difference:?}",
                    held.len(),
                    stored.len()
                ));
            }
        }
    }
}

fn against_writers(ledger: &Ledger, room: usize, stored: &[(u64, String)]) {
    let name = ROOMS[room];
    let ids: HashSet<_> = stored.iter().map(|(_, id)| id.as_str()).collect();
    if ids.len() != stored.len() {
        ledger.problem(format!("{name} has {} messages twice", stored.len() - ids.len()));
    }
    let entries = ledger.entries.lock();
    for (id, entry) in entries.iter().filter(|(_, entry)| entry.room == room) {
        if matches!(entry.outcome, Outcome::Acknowledged(_)) && !ids.contains(id.as_str()) {
            ledger.problem(format!("{id} of {name} was acknowledged and is not stored"));
        }
    }
    let mut last = std::collections::HashMap::new();
    for (offset, id) in stored {
        match entries.get(id).map(|entry| (entry.room, entry.outcome)) {
            Some((of, Outcome::Acknowledged(Some(told)))) if of != room || told != *offset => {
                ledger.problem(format!(
                    "{id} is at {offset} of {name}, its writer was told {told}"
                ));
            }
            Some((of, _)) if of == room => {}
            entry => ledger.problem(format!("{id} of {name} was never written: {entry:?}")),
        }
        // A writer waits for one answer before it sends the next; only what has no answer may come late.
        let Some((writer, number)) = id.split_once('-') else {
            continue;
        };
        let number: u64 = number.parse().unwrap_or_default();
        let unknown = entries
            .get(id)
            .is_some_and(|entry| entry.outcome == Outcome::Unknown);
        if !unknown
            && last
                .insert(writer.to_owned(), number)
                .is_some_and(|before| before >= number)
        {
            ledger.problem(format!("{id} of {name} is before what its writer wrote earlier"));
        }
    }
}

//! Reading and forgetting what durable rooms keep: `history` and `history_remove`, and what REST builds on.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use natter_protocol::json::encode_publication;
use serde_json::json;

use super::{
    Answer,
    refusal::Refusal,
    request::{Call, HistoryRemoveRequest, HistoryRequest},
};
use crate::{
    bus::{BusError, SharedBus},
    history::{self, HistoryPolicy, Page, Query},
    publication::Publication,
};

/// Publications that one call of `history` may answer.
const MAX_PAGE: usize = 10_000;

impl Call<'_> {
    pub(super) async fn history(&self, request: HistoryRequest) -> Answer {
        let since = request.since.as_ref();
        if request.reverse && since.is_some_and(|since| since.offset == 0) {
            return Err(Refusal::bad("nothing comes before offset 0"));
        }
        let query = Query {
            since: since.map(|since| since.offset),
            limit: history::page_limit(saturated(request.limit), MAX_PAGE),
            reverse: request.reverse,
        };
        let page = self.page(&request.channel, query).await?;
        let page = match since {
            Some(since) => page.in_epoch(&since.epoch).ok_or(Refusal::Unrecoverable)?,
            None => page,
        };
        Ok(result(&page))
    }

    pub(super) async fn history_remove(&self, request: HistoryRemoveRequest) -> Answer {
        self.forget(&request.channel).await?;
        Ok(b"{}".to_vec())
    }

    pub(super) async fn page(&self, channel: &str, query: Query) -> Result<Page, Refusal> {
        let (bus, policy) = self.durable(channel)?;
        Ok(self.gateway.reads.page(bus, channel, &policy, query).await?)
    }

    pub(super) async fn forget(&self, channel: &str) -> Result<(), Refusal> {
        let (bus, policy) = self.durable(channel)?;
        Ok(bus.remove_history(channel, &policy).await?)
    }

    fn durable(&self, channel: &str) -> Result<(&SharedBus, Arc<HistoryPolicy>), Refusal> {
        let policy = self
            .namespace(channel)?
            .history
            .clone()
            .ok_or(Refusal::NoHistory)?;
        let bus = self.gateway.bus().ok_or(BusError::Disconnected)?;
        Ok((bus, policy))
    }
}

/// Appends the publication with `b64data` in place of `data`.
fn put_encoded(publication: &Publication, out: &mut Vec<u8>) {
    let data = BASE64_STANDARD.encode(&publication.data);
    out.extend(format!("{{\"b64data\":\"{data}\",").into_bytes());
    let mut rest = Vec::new();
    let publication = natter_protocol::Publication {
        data: &[],
        ..publication.as_protocol()
    };
    encode_publication(&publication, &mut rest);
    // Behind its brace; an offset is always there, as only durable rooms are read.
    out.extend_from_slice(&rest[1..]);
}

fn saturated(limit: i64) -> i32 {
    i32::try_from(limit).unwrap_or(if limit < 0 { i32::MIN } else { i32::MAX })
}

fn result(page: &Page) -> Vec<u8> {
    let mut body = b"{\"publications\":".to_vec();
    put_publications(&page.publications, &mut body);
    let (epoch, offset) = (json!(page.head.epoch.as_str()), page.head.offset);
    body.extend(format!(",\"epoch\":{epoch},\"offset\":{offset}}}").into_bytes());
    body
}

/// Appends an array of the publications, their payloads as they came.
pub(super) fn put_publications(publications: &[Arc<Publication>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, publication) in publications.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if publication.is_binary {
            put_encoded(publication, out);
        } else {
            encode_publication(&publication.as_protocol(), out);
        }
    }
    out.push(b']');
}

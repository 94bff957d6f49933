//! The messages of a room: publish, list page by page, forget.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::Query as UrlQuery,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};

use super::cursor::{Cursor, Order};
use crate::{
    api::{
        history::put_publications,
        json_response,
        message::{Message, MessageRequest},
        publish::position_text,
        refusal::Refusal,
        request::{Call, or_default, parse, present, read_body},
    },
    history::{Page, Query},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Messages of a page when the request does not say.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    order: Option<Order>,
    cursor: Option<String>,
    /// Read where keys are checked.
    #[serde(rename = "api_key")]
    _api_key: Option<IgnoredAny>,
}

/// What a listing asks for.
struct Listing {
    limit: usize,
    order: Order,
    from: Option<Cursor>,
}

pub(super) async fn publish(
    call: &Call<'_>,
    room: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&parts.headers)?;
    let body = read_body(call.gateway, body).await.ok_or(Refusal::Body)?;
    let request: PublishBody<'_> =
        parse(&body).map_err(|error| Refusal::bad(format!("the body is wrong: {error}")))?;
    let message = Message::read(MessageRequest {
        data: request.data,
        b64data: request.b64data,
        tags: request.tags,
        key,
        may_skip_history: false,
    })?;
    Ok(match call.hand_over(room, &message)?.receipt().await? {
        None => json_response(StatusCode::ACCEPTED, b"{}".to_vec()),
        Some(receipt) => {
            let status = if receipt.repeated {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            };
            json_response(status, position_text(&receipt.position))
        }
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Refusal::bad("there is more than one Idempotency-Key"));
    }
    match std::str::from_utf8(key.as_bytes()) {
        Ok("") => Err(Refusal::bad("the Idempotency-Key is empty")),
        Ok(key) => Ok(Some(key.to_owned())),
        Err(_) => Err(Refusal::bad("the Idempotency-Key is not UTF-8")),
    }
}

pub(super) async fn list(call: &Call<'_>, room: &str, parts: &Parts) -> Result<Response, Refusal> {
    let UrlQuery(query) =
        UrlQuery::try_from_uri(&parts.uri).map_err(|error| Refusal::bad(error.body_text()))?;
    let listing = Listing::read(query)?;
    let query = Query {
        since: listing.from.as_ref().map(|from| from.offset),
        // One more than is shown tells whether there is a next page.
        limit: listing.limit + 1,
        reverse: listing.order == Order::Desc,
    };
    let page = listing.checked(call.page(room, query).await?)?;
    Ok(json_response(StatusCode::OK, listing.body(page)))
}

pub(super) async fn remove(call: &Call<'_>, room: &str) -> Result<Response, Refusal> {
    call.forget(room).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Listing {
    fn read(query: ListQuery) -> Result<Self, Refusal> {
        let limit = query.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Refusal::bad(format!(
                "limit: {limit} is not within 1 to {MAX_PAGE}"
            )));
        }
        let Some(cursor) = query.cursor else {
            let order = query.order.unwrap_or_default();
            return Ok(Self {
                limit,
                order,
                from: None,
            });
        };
        let from = Cursor::decode(&cursor)
            .ok_or_else(|| Refusal::bad("cursor: not one that a listing answered as `next`"))?;
        if query.order.is_some_and(|order| order != from.order) {
            return Err(Refusal::bad("order: not the one that the cursor was made in"));
        }
        Ok(Self {
            limit,
            order: from.order,
            from: Some(from),
        })
    }

    /// The page, unless it is not what follows the cursor. Newest first, history may end anywhere; oldest first, what
    /// was forgotten behind the cursor would be missing in silence.
    fn checked(&self, page: Page) -> Result<Page, Refusal> {
        let Some(from) = &self.from else { return Ok(page) };
        let page = page.in_epoch(&from.epoch).ok_or(Refusal::Unrecoverable)?;
        // A cursor is the place of a message; one beyond the newest is of another room, or of one that has forgotten all.
        if self.order == Order::Asc && (!page.complete || page.head.offset < from.offset) {
            return Err(Refusal::Unrecoverable);
        }
        Ok(page)
    }

    fn body(&self, mut page: Page) -> Vec<u8> {
        let more = page.truncated || page.publications.len() > self.limit;
        page.publications.truncate(self.limit);
        let last = page.publications.last().filter(|_| more);
        let next = last.map(|last| {
            let epoch = page.head.epoch.as_str().to_owned();
            Cursor {
                order: self.order,
                offset: last.offset,
                epoch,
            }
            .encode()
        });
        let mut body = b"{\"messages\":".to_vec();
        put_publications(&page.publications, &mut body);
        body.extend(format!(",\"next\":{},\"position\":", json!(next)).into_bytes());
        body.extend(position_text(&page.head));
        body.push(b'}');
        body
    }
}

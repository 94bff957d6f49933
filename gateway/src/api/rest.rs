//! REST on `/v1`: the status of an answer says what became of a request, so that a caller can tell from it alone
//! whether to try again. 2xx done, 4xx refused, 429 and 503 with `Retry-After`: not done, or not known to be.
//!
//! Stricter than the server API, which has Centrifugo's clients to please: fields and parameters that are not known
//! are refused.

mod cursor;
mod messages;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderValue, header, request::Parts};
use natter_protocol::ErrorCode;
use tokio::time::Instant;

use super::{
    UNKNOWN_METHOD,
    auth::{self, Judgement},
    error_body, in_time, json_response,
    refusal::Refusal,
    request::Call,
    wrong_keys,
};
use crate::gateway::Gateway;

type Verbs = fn() -> MethodRouter<Arc<Gateway>>;

/// Every path with what it takes.
pub(super) const RESOURCES: [(&str, Verbs); 1] = [("/v1/rooms/{room}/messages", message_verbs)];

/// What can be done with the messages of a room.
#[derive(Clone, Copy)]
enum Operation {
    Publish,
    List,
    Remove,
}

/// A room, percent-decoded, or why its name cannot be.
type Room = Result<Path<String>, PathRejection>;

pub(super) fn router() -> Router<Arc<Gateway>> {
    RESOURCES
        .into_iter()
        .fold(Router::new(), |router, (path, verbs)| router.route(path, verbs()))
        .route("/v1/{*path}", axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_verb)
}

fn message_verbs() -> MethodRouter<Arc<Gateway>> {
    get(|gateway, room, request| answer(Operation::List, gateway, room, request))
        .post(|gateway, room, request| answer(Operation::Publish, gateway, room, request))
        .delete(|gateway, room, request| answer(Operation::Remove, gateway, room, request))
}

async fn answer(
    operation: Operation,
    State(gateway): State<Arc<Gateway>>,
    room: Room,
    request: Request,
) -> Response {
    let began = Instant::now();
    let answering = async {
        let result = perform(operation, &gateway, room, request).await;
        finish(&gateway, operation.label(), began, result)
    };
    in_time(&gateway, operation.label(), answering).await
}

async fn unknown(State(gateway): State<Arc<Gateway>>) -> Response {
    finish(&gateway, UNKNOWN_METHOD, Instant::now(), Err(Refusal::Path))
}

async fn wrong_verb(State(gateway): State<Arc<Gateway>>) -> Response {
    finish(&gateway, UNKNOWN_METHOD, Instant::now(), Err(Refusal::Verb))
}

fn finish(
    gateway: &Gateway,
    label: &'static str,
    began: Instant,
    result: Result<Response, Refusal>,
) -> Response {
    let code = result.as_ref().err().map_or(0, |refusal| refusal.code().code());
    gateway.metrics.api.answered(label, code, began.elapsed());
    result.unwrap_or_else(IntoResponse::into_response)
}

async fn perform(
    operation: Operation,
    gateway: &Gateway,
    room: Room,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = match auth::judge(gateway, operation.label(), &request) {
        Judgement::Admitted(caller) => caller,
        Judgement::WrongKey => return Err(ErrorCode::Unauthorized.into()),
        Judgement::WrongKeys => return Err(Refusal::WrongKeys),
    };
    let Path(room) = room.map_err(|error| Refusal::bad(error.body_text()))?;
    let (parts, body) = request.into_parts();
    let call = Call::new(gateway, caller, &parts.headers);
    call.count()?;
    if !call.may_in(operation.method(), &room) {
        return Err(Refusal::Scope);
    }
    operation.run(&call, &room, &parts, body).await
}

impl Operation {
    /// Value of the `method` label, and its `operationId` in the description.
    fn label(self) -> &'static str {
        match self {
            Self::Publish => "publish_message",
            Self::List => "list_messages",
            Self::Remove => "remove_messages",
        }
    }

    /// The method of the server API that does the same, by which keys are judged.
    fn method(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::List => "history",
            Self::Remove => "history_remove",
        }
    }

    async fn run(self, call: &Call<'_>, room: &str, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        match self {
            Self::Publish => messages::publish(call, room, parts, body).await,
            Self::List => messages::list(call, room, parts).await,
            Self::Remove => messages::remove(call, room).await,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = error_body(self.code(), &self.to_string());
        let mut response = json_response(self.status(), body);
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if matches!(self, Self::WrongKeys) {
            return wrong_keys(response);
        }
        if matches!(self, Self::Code(ErrorCode::Unauthorized)) {
            // RFC 9110 section 11.6.1 wants a challenge.
            let challenge = HeaderValue::from_static("apikey");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

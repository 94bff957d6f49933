//! The API for backends: Centrifugo's JSON shapes and error codes on `POST /api/<method>`, and REST on `/v1`.
//!
//! Errors of a call of the server API arrive with HTTP 200 and an `error` object, as Centrifugo's clients expect, or by
//! their status when the request asks for that; only what is wrong with the request as such always has a status of its
//! own: 400 no JSON, 401 no key, 403 a key that may not, 404 no method, 405 no POST, 408 too slow, 413 too much. Several calls in one request are `batch`, or
//! commands on `POST /api` (`commands`). Over NATS the same is asked without HTTP (`over_bus`). REST says everything by its status (`rest`). Both read messages by `message`,
//! name errors by `refusal` and are described by `openapi`.

mod auth;
mod commands;
mod connections;
mod grant;
mod history;
mod keys;
mod message;
mod openapi;
mod over_bus;
mod overview;
mod presence;
mod publish;
mod refusal;
mod request;
mod rest;
mod revocations;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header};
use natter_protocol::ErrorCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use self::{
    auth::{Caller, Judgement},
    refusal::Refusal,
    request::{Call, parse},
};
pub use self::{
    keys::{ApiKeys, ApiKeysError, UNSCOPED},
    over_bus::{BusCalls, take},
};
use crate::gateway::Gateway;

/// Methods by name, which is also their metric label.
pub const METHODS: [&str; 21] = [
    "publish",
    "broadcast",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "info",
    "channels",
    "rpc",
    "block_user",
    "unblock_user",
    "revoke_token",
    "invalidate_user_tokens",
    "ban_user",
    "unban_user",
    "revocations",
    BATCH,
];

/// The method that calls others.
const BATCH: &str = "batch";
/// Label of `POST /api`, whose body names the methods.
const COMMANDS: &str = "commands";

/// What a call answers: a result as JSON text, or why there is none.
type Answer = Result<Vec<u8>, Refusal>;

/// Label of requests that name nothing that there is.
const UNKNOWN_METHOD: &str = "unknown";

/// Asks for errors by their status.
const ERROR_MODE_HEADER: &str = "x-centrifugo-error-mode";

pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/api", post(call_commands))
        .route("/api/{method}", post(call))
        .merge(rest::router())
        .merge(openapi::router())
        .with_state(gateway)
}

async fn call(State(gateway): State<Arc<Gateway>>, Path(method): Path<String>, request: Request) -> Response {
    let known = METHODS.into_iter().find(|known| *known == method);
    serve(&gateway, &method, known, request).await
}

async fn call_commands(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    serve(&gateway, COMMANDS, Some(COMMANDS), request).await
}

async fn serve(gateway: &Gateway, name: &str, known: Option<&'static str>, request: Request) -> Response {
    let began = Instant::now();
    let by_status = request
        .headers()
        .get(ERROR_MODE_HEADER)
        .is_some_and(|mode| mode == "transport");
    let label = known.unwrap_or(UNKNOWN_METHOD);
    let answering = async {
        let outcome = match (auth::judge(gateway, name, &request), known) {
            (Judgement::WrongKeys, _) => {
                Outcome::Status(StatusCode::TOO_MANY_REQUESTS, "too many wrong API keys\n".into())
            }
            (Judgement::WrongKey, _) => {
                Outcome::Status(StatusCode::UNAUTHORIZED, "a valid API key is missing\n".into())
            }
            (_, None) => Outcome::Status(StatusCode::NOT_FOUND, "there is no such method\n".into()),
            (Judgement::Admitted(caller), Some(method)) => dispatch(gateway, caller, method, request).await,
        };
        let code = outcome.code();
        gateway.metrics.api.answered(label, code, began.elapsed());
        outcome.into_response(by_status)
    };
    in_time(gateway, label, answering).await
}

/// The answer, which counts itself, or that it took too long: whether the call was done is not known then.
async fn in_time(
    gateway: &Gateway,
    label: &'static str,
    answering: impl Future<Output = Response>,
) -> Response {
    let limit = gateway.live().settings.http.request_timeout;
    timeout(limit, answering).await.unwrap_or_else(|_| {
        let status = StatusCode::REQUEST_TIMEOUT;
        gateway.metrics.api.answered(label, status.as_u16().into(), limit);
        (status, "the request took too long\n").into_response()
    })
}

/// How a request ends.
enum Outcome {
    Answered(Answer),
    /// The answers of several calls, each with its own outcome.
    Replies(Vec<u8>),
    Status(StatusCode, Cow<'static, str>),
}

impl Outcome {
    /// The protocol's code, or the HTTP status where there was no call; 0 for a result.
    fn code(&self) -> u32 {
        match self {
            Self::Answered(Ok(_)) | Self::Replies(_) => 0,
            Self::Answered(Err(refusal)) => refusal.code().code(),
            Self::Status(status, _) => u32::from(status.as_u16()),
        }
    }

    fn into_response(self, by_status: bool) -> Response {
        match self {
            // As a missing key, it is wrong with the request as such.
            Self::Answered(Err(Refusal::Scope)) => json_response(
                StatusCode::FORBIDDEN,
                error_body(ErrorCode::PermissionDenied, &Refusal::Scope.to_string()),
            ),
            Self::Answered(Err(refusal)) if by_status => {
                let status = refusal.transport_status();
                let mut response = json_response(status, json_text(&error_object(refusal.code())));
                if let (StatusCode::TOO_MANY_REQUESTS, Some(seconds)) = (status, refusal.retry_after()) {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
            Self::Answered(answer) => json_response(StatusCode::OK, answer_body(answer)),
            Self::Replies(body) => json_response(StatusCode::OK, body),
            Self::Status(StatusCode::TOO_MANY_REQUESTS, text) => wrong_keys(text.into_response()),
            Self::Status(status, text) => (status, text).into_response(),
        }
    }
}

/// Of somebody who tries keys, who need not be kept at hand for the next one.
fn wrong_keys(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// One answer as it stands in a body, also inside `broadcast`.
fn answer_body(answer: Answer) -> Vec<u8> {
    match answer {
        Ok(result) => [b"{\"result\":", result.as_slice(), b"}"].concat(),
        // The text that clients know, whatever the reason is.
        Err(refusal) => json_text(&json!({ "error": error_object(refusal.code()) })),
    }
}

/// The error as clients know it.
fn error_object(code: ErrorCode) -> Value {
    json!({ "code": code.code(), "message": code.message() })
}

fn error_body(code: ErrorCode, message: &str) -> Vec<u8> {
    json_text(&json!({ "error": { "code": code.code(), "message": message } }))
}

fn json_text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

async fn dispatch(gateway: &Gateway, caller: Caller, method: &'static str, request: Request) -> Outcome {
    let (parts, body) = request.into_parts();
    let Some(body) = request::read_body(gateway, body).await else {
        return Outcome::Status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or incomplete\n".into(),
        );
    };
    carry_out(&Call::new(gateway, caller, &parts.headers), method, &body).await
}

async fn carry_out(call: &Call<'_>, method: &'static str, body: &[u8]) -> Outcome {
    let outcome = match method {
        BATCH => call.batch(body).await,
        COMMANDS => call.commands(body).await,
        method => answer(call, method, body).await.map(Outcome::Answered),
    };
    outcome.unwrap_or_else(|error| {
        Outcome::Status(
            StatusCode::BAD_REQUEST,
            format!("the body is not the JSON that this method takes: {error}\n").into(),
        )
    })
}

/// An error when the body is not what the method takes.
async fn answer(call: &Call<'_>, method: &str, body: &[u8]) -> serde_json::Result<Answer> {
    if let Err(refusal) = call.count() {
        return Ok(Err(refusal));
    }
    if !call.may(method, body)? {
        return Ok(Err(Refusal::Scope));
    }
    Ok(match method {
        "publish" => call.publish(parse(body)?).await,
        "broadcast" => call.broadcast(parse(body)?).await,
        "history" => call.history(parse(body)?).await,
        "history_remove" => call.history_remove(parse(body)?).await,
        "presence" => call.presence(parse(body)?).await,
        "presence_stats" => call.presence_stats(parse(body)?).await,
        "subscribe" => call.subscribe(&parse(body)?),
        "unsubscribe" => call.unsubscribe(parse(body)?),
        "disconnect" => call.disconnect(&parse(body)?),
        "refresh" => call.refresh(&parse(body)?),
        "info" => call.info(),
        "rpc" => call.rpc(&parse(body)?),
        "block_user" => call.block_user(parse(body)?).await,
        "unblock_user" => call.unblock_user(parse(body)?).await,
        "revoke_token" => call.revoke_token(parse(body)?).await,
        "invalidate_user_tokens" => call.invalidate_user_tokens(parse(body)?).await,
        "ban_user" => call.ban_user(parse(body)?).await,
        "unban_user" => call.unban_user(parse(body)?).await,
        "revocations" => call.revocations(&parse(body)?),
        _channels => call.channels(parse(body)?).await,
    })
}

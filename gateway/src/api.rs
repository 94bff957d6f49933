//! The server API: Centrifugo's JSON shapes and error codes on `POST /api/<method>`.
//!
//! Errors of a call arrive with HTTP 200 and an `error` object, as its clients expect; only what is wrong with the
//! request as such has a status of its own: 400 no JSON, 401 no key, 404 no method, 405 no POST.

mod auth;
mod connections;
mod overview;
mod publish;
mod request;

use std::sync::Arc;

use axum::{
    Router,
    body::HttpBody,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use natter_protocol::ErrorCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{Level, info};

use self::request::Call;
use crate::{
    bus::BusError,
    gateway::{Gateway, error_code},
};

/// Methods by name, which is also their metric label.
const METHODS: [&str; 7] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "info",
    "channels",
];

/// What a call answers: a result, or an error of the protocol.
type Answer = Result<Value, ErrorCode>;

/// Label of requests that name no method that there is.
const UNKNOWN_METHOD: &str = "unknown";

pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/api/{method}", post(call))
        .with_state(gateway)
}

async fn call(State(gateway): State<Arc<Gateway>>, Path(method): Path<String>, request: Request) -> Response {
    let began = Instant::now();
    let known = METHODS.into_iter().find(|known| *known == method);
    let response = match known {
        _ if !auth::is_authorized(&gateway.live().settings.api.keys, &request) => {
            if gateway.log_budget.cause("api_key", Level::INFO).admit() {
                info!(%method, "refused an API call without a valid key");
            }
            Outcome::Status(StatusCode::UNAUTHORIZED, "a valid API key is missing\n")
        }
        None => Outcome::Status(StatusCode::NOT_FOUND, "there is no such method\n"),
        Some(method) => dispatch(&gateway, method, request).await,
    };
    let label = known.unwrap_or(UNKNOWN_METHOD);
    gateway
        .metrics
        .api
        .answered(label, response.code(), began.elapsed());
    response.into_response()
}

/// How a request ends.
enum Outcome {
    Answered(Answer),
    Status(StatusCode, &'static str),
}

impl Outcome {
    /// The protocol's code, or the HTTP status where there was no call; 0 for a result.
    fn code(&self) -> u32 {
        match self {
            Self::Answered(Ok(_)) => 0,
            Self::Answered(Err(error)) => error.code(),
            Self::Status(status, _) => u32::from(status.as_u16()),
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(answer) => json_response(&answer_body(answer)),
            Self::Status(status, text) => (status, text).into_response(),
        }
    }
}

fn json_response(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// One answer as it stands in a body, also inside `broadcast`.
fn answer_body(answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": { "code": error.code(), "message": error.message() } }),
    }
}

async fn dispatch(gateway: &Gateway, method: &'static str, request: Request) -> Outcome {
    let (parts, body) = request.into_parts();
    let limit = gateway.live().settings.http.body_max_size;
    let too_large = Outcome::Status(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large or incomplete\n",
    );
    // Said by Content-Length, before any of it is waited for.
    if body.size_hint().lower() > limit as u64 {
        return too_large;
    }
    let Ok(body) = axum::body::to_bytes(body, limit).await else {
        return too_large;
    };
    let call = Call {
        gateway,
        traceparent: traceparent(&parts.headers),
    };
    let answer = match method {
        "publish" => parsed(&body, |request| call.publish(request)),
        "broadcast" => parsed(&body, |request| call.broadcast(request)),
        "subscribe" => parsed(&body, |request| call.subscribe(request)),
        "unsubscribe" => parsed(&body, |request| call.unsubscribe(request)),
        "disconnect" => parsed(&body, |request| call.disconnect(&request)),
        "info" => Some(call.info()),
        _channels => match serde_json::from_slice(&body) {
            Ok(request) => Some(call.channels(request).await),
            Err(_) => None,
        },
    };
    match answer {
        Some(answer) => Outcome::Answered(answer),
        None => Outcome::Status(
            StatusCode::BAD_REQUEST,
            "the body is not the JSON that this method takes\n",
        ),
    }
}

/// `None` when the body is not what the method takes.
fn parsed<'a, T: serde::Deserialize<'a>>(body: &'a Bytes, act: impl FnOnce(T) -> Answer) -> Option<Answer> {
    serde_json::from_slice(body).ok().map(act)
}

fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// What a backend is told when the bus does not take something.
fn refused(error: BusError) -> ErrorCode {
    error_code(error)
}

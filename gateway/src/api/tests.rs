//! Requests through the router, on the embedded bus.

mod commands;
mod description;
mod publishing;
mod reading;
mod scopes;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{config::Loader, gateway::Gateway};

const KEY: &str = "test-key";
const MESSAGES: &str = "/v1/rooms/kept:room/messages";

/// A gateway without ports, whose rooms in `kept` keep 5 messages and in `passing` none.
struct Api {
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Api {
    fn new() -> Self {
        Self::with_keys("[]")
    }

    /// With more keys, as YAML.
    fn with_keys(scoped: &str) -> Self {
        let variables = [
            ("NATTER_API_KEYS", KEY),
            ("NATTER_API_SCOPED_KEYS", scoped),
            (
                "NATTER_ROOMS_NAMESPACES",
                "[{name: kept, history: {size: 5}}, {name: passing}]",
            ),
        ];
        let settings = Loader::new(variables.into_iter().collect()).load().unwrap();
        Self {
            router: super::router(Gateway::embedded(settings)),
        }
    }

    async fn ask(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A call of the server API that gets as far as its method.
    async fn call(&self, method: &str, request: Value) -> Value {
        let answer = self
            .ask(with_key("POST", &format!("/api/{method}")), request.to_string())
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Publishes by REST.
    async fn post(&self, uri: &str, key: Option<&str>, body: &str) -> Answer {
        let mut request = with_key("POST", uri);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.ask(request, body.to_owned()).await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.ask(with_key("GET", uri), Body::empty()).await
    }

    /// Publishes the numbers into `kept:room`.
    async fn fill(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            let answer = self
                .post(MESSAGES, None, &json!({ "data": number }).to_string())
                .await;
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The status and the code of the error.
    fn error(&self) -> (u16, Option<u64>) {
        (self.status.as_u16(), self.json()["error"]["code"].as_u64())
    }
}

fn with_key(method: &str, uri: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("x-api-key", KEY)
}

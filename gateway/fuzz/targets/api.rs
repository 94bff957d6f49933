//! Requests of backends, through the router of a gateway on the embedded bus: no panic and an end, never the status 500, and
//! JSON where JSON is said to come.
//!
//! The first line is the method and the target of the request, the rest its body.

#![no_main]

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{Request, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use natter_gateway::{
    api,
    bus::Embedded,
    config::{Loader, Settings},
    gateway::Gateway,
    inbox::Inbox,
    metrics::Metrics,
    rooms::Rooms,
    telemetry::Tracer,
};
use serde::de::IgnoredAny;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use uuid::Uuid;

const KEY: &str = "the-key-of-the-fuzzer";
const ROOMS: &str = "[{name: kept, history: {size: 5}, presence: true}, {name: any, payload: binary}]";
/// After so many requests everything that was stored is forgotten.
const REQUESTS: usize = 20_000;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
});

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let variables = [("NATTER_API_KEYS", KEY), ("NATTER_ROOMS_NAMESPACES", ROOMS)];
    Loader::new(variables.into_iter().collect())
        .load()
        .unwrap_or_else(|errors| panic!("{errors}"))
});

thread_local! {
    static ROUTER: RefCell<(usize, Option<Router>)> = const { RefCell::new((0, None)) };
}

fn router() -> Router {
    ROUTER.with_borrow_mut(|(count, router)| {
        *count += 1;
        if *count % REQUESTS == 0 {
            *router = None;
        }
        router.get_or_insert_with(|| api::router(gateway())).clone()
    })
}

fn gateway() -> Arc<Gateway> {
    let metrics = Metrics::new().expect("metrics");
    let inboxes = vec![Arc::<Inbox>::default()];
    let (rooms, _linger) = Rooms::new(inboxes.clone(), metrics.rooms.clone());
    let gateway = Gateway::new(
        Uuid::new_v4(),
        SETTINGS.clone(),
        metrics,
        rooms,
        inboxes,
        Tracer::disabled(),
        RUNTIME.handle().clone(),
    );
    gateway.attach(Arc::new(Embedded::new(gateway.node, gateway.clone())));
    gateway
}

fn request(input: &[u8]) -> Option<Request<Body>> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let (line, body) = (std::str::from_utf8(&input[..end]).ok()?, &input[end + 1..]);
    let (method, target) = line.split_once(' ')?;
    Request::builder()
        .method(method)
        .uri(target)
        .header("x-api-key", KEY)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_vec()))
        .ok()
}

fuzz_target!(|input: &[u8]| {
    let Some(request) = request(input) else { return };
    RUNTIME.block_on(async {
        let response = router().oneshot(request).await.expect("no error");
        let (parts, body) = response.into_parts();
        assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let is_json = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|media| media == "application/json");
        if is_json {
            // One value, or one for each command of `POST /api`.
            let values = serde_json::Deserializer::from_slice(&body).into_iter::<IgnoredAny>();
            assert!(values.collect::<Vec<_>>().iter().all(Result::is_ok), "no JSON");
        }
    });
});

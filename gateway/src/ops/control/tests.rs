use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::control::tests::gateway;
use crate::gateway::Gateway;

const TOKEN: &str = "a-token-of-the-operator";

/// A gateway with 100 connections.
fn access(tokens: Option<&str>) -> (ControlAccess, Arc<Gateway>) {
    let gateway = gateway(100);
    let metrics = gateway.metrics.control.clone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let tokens = tokens.map(|tokens| {
        std::fs::write(&file, tokens).unwrap();
        Tokens::read(&file, metrics.clone()).unwrap()
    });
    let access = ControlAccess {
        control: Arc::new(Control::new(gateway.clone())),
        tokens,
        metrics,
        log_budget: gateway.log_budget.clone(),
    };
    (access, gateway)
}

async fn call(access: &ControlAccess, call: &str, authorization: &str, body: &str) -> (u16, Value) {
    let (method, path) = call.split_once(' ').unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", authorization)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router(access.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    assert_eq!(
        response.headers().contains_key("www-authenticate"),
        status == StatusCode::UNAUTHORIZED
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn nobody_without_a_token_gets_through() {
    let (access, gateway) = access(Some(&format!("{TOKEN}\nthe-token-before-this\n")));
    for authorization in [
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        "Bearer a-token-of-the-operato",
        "Basic a-token-of-the-operator",
    ] {
        for path in [
            "GET /control/state",
            "POST /control/cordon",
            "POST /control/drain",
            "POST /control/shed",
        ] {
            let (status, body) = call(&access, path, authorization, "{").await;
            assert_eq!(status, 401, "{path} {authorization:?}");
            assert!(body["error"].as_str().unwrap().contains("bearer token"), "{body}");
        }
    }
    assert!(!gateway.drain.sends_elsewhere());
    for authorization in ["Bearer a-token-of-the-operator", "bearer the-token-before-this"] {
        let (status, body) = call(&access, "GET /control/state", authorization, "").await;
        assert_eq!((status, &body["connections"]), (200, &json!(100)));
    }
    let text = gateway.metrics.encode().unwrap();
    assert!(
        text.contains("natter_control_requests_total{call=\"drain\",result=\"unauthorized\"} 6"),
        "{text}"
    );
    assert!(
        text.contains("natter_control_requests_total{call=\"state\",result=\"done\"} 2"),
        "{text}"
    );
}

#[tokio::test]
async fn without_tokens_control_is_off_and_says_so() {
    let (access, gateway) = access(None);
    let (status, body) = call(
        &access,
        "POST /control/cordon",
        "Bearer a-token-of-the-operator",
        "",
    )
    .await;
    assert_eq!(status, 403);
    assert_eq!(
        body["error"],
        "control calls are off: ops.control.token_file is not set"
    );
    assert!(!gateway.drain.is_cordoned());
    let text = gateway.metrics.encode().unwrap();
    assert!(
        text.contains("natter_control_requests_total{call=\"cordon\",result=\"off\"} 1"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_answer_with_the_state_that_they_made() {
    let (access, _gateway) = access(Some(TOKEN));
    let authorization = format!("Bearer {TOKEN}");
    let ask = async |path: &str, body: &str| call(&access, path, &authorization, body).await;
    let (status, state) = ask("POST /control/cordon", "").await;
    assert_eq!(
        (status, &state["cordoned"], &state["draining"]),
        (200, &json!(true), &json!(false))
    );
    let (status, state) = ask("POST /control/shed", r#"{"connections": 10, "rate": 5}"#).await;
    assert_eq!((status, &state["shedding"]), (202, &json!(10)));
    assert_eq!(
        ask("POST /control/shed", r#"{"connections": 10, "rate": 5}"#)
            .await
            .0,
        409
    );
    let (status, state) = ask("POST /control/drain", r#"{"rate": 50}"#).await;
    assert_eq!(
        (status, &state["drain"]),
        (202, &json!({"rate": 50.0, "ends_in_seconds": 2}))
    );
    assert_eq!(
        (&state["draining"], &state["empty"]),
        (&json!(true), &json!(false))
    );
    let (status, state) = ask("POST /control/uncordon", "").await;
    assert_eq!(
        (status, &state["cordoned"], &state["draining"]),
        (200, &json!(false), &json!(false))
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_counted() {
    let (access, gateway) = access(Some(TOKEN));
    let authorization = format!("Bearer {TOKEN}");
    for (path, body, status) in [
        ("POST /control/drain", "{".to_owned(), 400),
        ("POST /control/shed", String::new(), 400),
        (
            "POST /control/drain",
            format!("{{\"window\": \"{}\"}}", "1".repeat(MAX_BODY)),
            413,
        ),
        ("GET /control/drain", String::new(), 405),
        ("POST /control/state", String::new(), 405),
        ("POST /control/stop", String::new(), 404),
    ] {
        assert_eq!(
            call(&access, path, &authorization, &body).await.0,
            status,
            "{path} {body:.40}"
        );
    }
    assert!(!gateway.drain.is_draining());
    let text = gateway.metrics.encode().unwrap();
    assert!(
        text.contains("natter_control_requests_total{call=\"shed\",result=\"malformed\"} 1"),
        "{text}"
    );
}

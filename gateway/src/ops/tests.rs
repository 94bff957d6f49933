use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{Duration, advance, timeout};
use tower::ServiceExt;

use super::port::CLOSE_TIMEOUT;
use super::*;
use crate::bus::{BusCondition, BusStatus, ServerCondition, ServerSupport};
use crate::drain::Phase;

fn state(bus: BusStatus, critical: bool) -> (OpsState, watch::Sender<BusStatus>) {
    let (sender, receiver) = watch::channel(bus);
    let drain = Arc::<Drain>::default();
    let state = OpsState {
        readiness: Arc::new(Readiness::new(
            receiver,
            watch::Sender::default().subscribe(),
            critical,
            drain.clone(),
        )),
        heartbeats: Heartbeats::new(4),
        metrics: Metrics::new().unwrap(),
        files: FileLimit::new(1_000),
        drain,
    };
    (state, sender)
}

async fn ask(state: &OpsState, method: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = observing(state.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn readyz(state: &OpsState) -> (u16, Value) {
    let (status, body) = ask(state, "GET", "/readyz").await;
    (status.as_u16(), serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn ready_follows_the_bus_only_until_the_first_connection() {
    let (state, bus) = state(BusStatus::Connecting, false);
    let unready = json!({"ready": false, "bus": "connecting", "draining": false, "cordoned": false, "reasons": ["bus_connecting"]});
    assert_eq!(readyz(&state).await, (503, unready));
    bus.send_replace(BusStatus::Up);
    let ready = json!({"ready": true, "bus": "up", "draining": false, "cordoned": false, "reasons": []});
    assert_eq!(readyz(&state).await, (200, ready));
    bus.send_replace(BusStatus::Down);
    let ready = json!({"ready": true, "bus": "down", "draining": false, "cordoned": false, "reasons": []});
    assert_eq!(readyz(&state).await, (200, ready));
}

#[tokio::test]
async fn a_critical_bus_makes_it_unready() {
    let (state, bus) = state(BusStatus::Up, true);
    assert_eq!(readyz(&state).await.0, 200);
    bus.send_replace(BusStatus::Down);
    let (status, body) = readyz(&state).await;
    assert_eq!((status, &body["reasons"]), (503, &json!(["bus_down"])));
    bus.send_replace(BusStatus::Up);
    assert_eq!(readyz(&state).await.0, 200);
}

#[tokio::test]
async fn a_server_too_old_for_durable_rooms_makes_it_unready() {
    let (mut state, _bus) = state(BusStatus::Up, false);
    let (_status, status) = watch::channel(BusStatus::Up);
    let (condition, conditions) = watch::channel(BusCondition::default());
    state.readiness = Arc::new(Readiness::new(status, conditions, false, state.drain.clone()));
    condition.send_modify(|condition| {
        condition.server = Some(ServerCondition {
            version: "2.10.1".to_owned(),
            support: ServerSupport::TooOld,
            message: Some("use another".to_owned()),
        });
        condition.problems.insert("chat".to_owned(), "no".to_owned());
    });
    let said = json!({"version": "2.10.1", "support": "too_old", "message": "use another"});
    let ready = json!({"ready": true, "bus": "up", "draining": false, "cordoned": false, "reasons": [], "nats": said, "namespaces": {"chat": "no"}});
    assert_eq!(readyz(&state).await, (200, ready));
    condition.send_modify(|condition| condition.durable = true);
    let (status, body) = readyz(&state).await;
    assert_eq!((status, &body["reasons"]), (503, &json!(["nats_too_old"])));
}

#[tokio::test]
async fn draining_is_unready_for_good() {
    let (state, bus) = state(BusStatus::Down, true);
    state.drain.advance(Phase::Leaving);
    let unready = json!({"ready": false, "bus": "down", "draining": true, "cordoned": false, "reasons": ["draining", "bus_down"]});
    assert_eq!(readyz(&state).await, (503, unready));
    bus.send_replace(BusStatus::Up);
    assert_eq!(readyz(&state).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn liveness_depends_on_the_workers_alone() {
    let (state, _bus) = state(BusStatus::Down, true);
    assert_eq!(
        ask(&state, "GET", "/livez").await,
        (StatusCode::OK, "ok\n".into())
    );
    advance(Duration::from_secs(11)).await;
    state.heartbeats.beat(3);
    let (status, body) = ask(&state, "GET", "/livez").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("[0, 1, 2]"), "{body}");
    (0..3).for_each(|worker| state.heartbeats.beat(worker));
    assert_eq!(ask(&state, "GET", "/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_carry_the_file_limit() {
    let (state, _bus) = state(BusStatus::Up, false);
    let _socket = state.files.admit().unwrap();
    let (status, text) = ask(&state, "GET", "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\nnatter_file_descriptors_limit 1000\n"), "{text}");
    assert!(text.contains("\nnatter_file_descriptors_used 1\n"), "{text}");
    assert!(text.contains("\nnatter_connections_limit 950\n"), "{text}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let (state, _bus) = state(BusStatus::Up, false);
    assert_eq!(ask(&state, "GET", "/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(&state, "POST", "/readyz").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        ask(&state, "HEAD", "/livez").await,
        (StatusCode::OK, String::new())
    );
}

#[tokio::test]
async fn serves_until_shutdown_even_with_a_request_that_never_ends() {
    let (state, _bus) = state(BusStatus::Up, false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(
        listener,
        observing(state),
        crate::control::tests::gateway(0),
        async move { drop(stopped.await) },
    ));

    let mut hanging = TcpStream::connect(address).await.unwrap();
    hanging.write_all(b"GET /livez HTTP/1.1\r\nhost:").await.unwrap();
    let mut whole = TcpStream::connect(address).await.unwrap();
    whole
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    whole.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    drop(stop);
    timeout(CLOSE_TIMEOUT * 5, server)
        .await
        .expect("the server ends")
        .unwrap();
}

#[tokio::test]
async fn a_cordoned_gateway_is_ready_and_a_drained_one_is_not() {
    let (state, _bus) = state(BusStatus::Up, false);
    state.drain.set_cordoned(true);
    let ready = json!({"ready": true, "bus": "up", "draining": false, "cordoned": true, "reasons": []});
    assert_eq!(readyz(&state).await, (200, ready));
    state.drain.set_emptying(true);
    assert_eq!(readyz(&state).await.0, 503);
    let (_, text) = ask(&state, "GET", "/metrics").await;
    assert!(
        text.contains("\nnatter_cordoned 1\n") && text.contains("\nnatter_draining 1\n"),
        "{text}"
    );
    state.drain.set_emptying(false);
    assert_eq!(readyz(&state).await.0, 200, "a drain by a call can be taken back");
}

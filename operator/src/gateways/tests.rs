use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::advance};

use super::{
    client::Usage,
    samples::{CONFIG_LATE, Known},
    *,
};
use crate::fleet::ConfigState;

fn said(connections: u64, cpu_seconds: f64) -> Said {
    Said {
        config: None,
        config_error: None,
        cordoned: false,
        draining: false,
        terminating: false,
        empty: false,
        connections,
        connection_limit: 1_000,
        shedding: 0,
        drain: None,
        bus_up: true,
        namespaces: BTreeMap::new(),
        usage: Some(Usage {
            cpu_seconds,
            memory_bytes: 1 << 20,
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_counts_for_a_while_and_cpu_is_measured_over_time() {
    let mut known = Known::default();
    known.heard(Instant::now(), said(5, 100.0));
    let sample = |known: &mut Known| known.sample(MAX_AGE, None);
    assert_eq!(
        sample(&mut known).unwrap().cpu,
        None,
        "one answer is no measurement"
    );
    advance(Duration::from_secs(5)).await;
    known.heard(Instant::now(), said(6, 104.0));
    assert_eq!(sample(&mut known).unwrap().cpu, None, "too short a time");
    advance(Duration::from_secs(5)).await;
    known.heard(Instant::now(), said(7, 105.0));
    assert_eq!(sample(&mut known).unwrap().cpu, Some(0.5));
    assert_eq!(sample(&mut known).unwrap().connections, 7);
    known.heard(Instant::now(), said(0, 1.0));
    assert_eq!(
        sample(&mut known).unwrap().cpu,
        None,
        "the container was started again"
    );
    advance(MAX_AGE + Duration::from_millis(1)).await;
    assert_eq!(sample(&mut known), None);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_ends_says_so_and_an_older_one_does_not() {
    let mut answer = serde_json::json!({"config": null, "cordoned": false, "draining": true, "terminating": true, "empty": false,
        "connections": 1, "connection_limit": 10, "shedding": 0, "bus_up": true, "usage": null});
    let terminating = |answer: &serde_json::Value| {
        let mut known = Known::default();
        known.heard(Instant::now(), serde_json::from_value(answer.clone()).unwrap());
        known.sample(MAX_AGE, None).unwrap().terminating
    };
    assert!(terminating(&answer));
    answer.as_object_mut().unwrap().remove("terminating");
    assert!(!terminating(&answer));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_as_old_as_its_question() {
    let mut known = Known::default();
    let before = Instant::now();
    advance(Duration::from_secs(1)).await;
    let draining = Said {
        draining: true,
        ..said(9, 1.0)
    };
    known.heard(Instant::now(), draining);
    known.heard(before, said(10, 1.0));
    let sample = known.sample(MAX_AGE, None).unwrap();
    assert!(
        sample.draining && sample.connections == 9,
        "it was asked before the order, and answered late: {sample:?}"
    );
    let mut slow = Known::default();
    slow.heard(before, said(1, 1.0));
    advance(MAX_AGE).await;
    assert_eq!(
        slow.sample(MAX_AGE, None),
        None,
        "the age counts from the question"
    );
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_awaited_for_a_while() {
    let mut known = Known::default();
    let told = |known: &mut Known, config: &str, error: Option<&str>| {
        known.heard(
            Instant::now(),
            Said {
                config: Some(config.to_owned()),
                config_error: error.map(str::to_owned),
                ..said(1, 1.0)
            },
        );
    };
    let state = |known: &mut Known, wanted| known.sample(MAX_AGE, Some(wanted)).unwrap().config;
    told(&mut known, "old", None);
    assert_eq!(state(&mut known, "old"), ConfigState::InForce);
    assert_eq!(state(&mut known, "new"), ConfigState::Awaited);
    advance(CONFIG_LATE).await;
    told(&mut known, "old", None);
    assert_eq!(state(&mut known, "new"), ConfigState::Late);
    assert_eq!(
        state(&mut known, "newer"),
        ConfigState::Awaited,
        "another one has its own time"
    );
    told(&mut known, "old", Some("no such key"));
    assert_eq!(
        state(&mut known, "newer"),
        ConfigState::Refused("no such key".to_owned())
    );
    told(&mut known, "newer", None);
    assert_eq!(state(&mut known, "newer"), ConfigState::InForce);
}

/// A gateway's ops port as far as the operator knows it; it repeats what it was told in `config`.
async fn gateway() -> SocketAddr {
    async fn answer(
        State(call): State<&'static str>,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, Json<Value>) {
        if headers
            .get("authorization")
            .is_none_or(|value| value != "Bearer token")
        {
            return (StatusCode::UNAUTHORIZED, Json(json!({"error": "no"})));
        }
        let state = json!({
            "node": "n", "version": "1", "config": format!("{call} {body}"), "cordoned": true, "draining": false,
            "terminating": false, "empty": false, "connections": 3, "connection_limit": 9, "bus_up": true,
            "usage": null, "drain": null, "shedding": 0,
        });
        (StatusCode::ACCEPTED, Json(state))
    }
    let calls = ["cordon", "uncordon", "drain", "shed"];
    let router = calls.into_iter().fold(
        Router::new().route("/control/state", get(answer).with_state("state")),
        |router, call| router.route(&format!("/control/{call}"), post(answer).with_state(call)),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn calls_are_made_as_the_gateway_expects_them() {
    let address = gateway().await.to_string();
    let client = Client::new().unwrap();
    for (call, told) in [
        (Call::State, "state "),
        (Call::Cordon, "cordon "),
        (Call::Uncordon, "uncordon "),
        (Call::Drain { rate: 12.5 }, r#"drain {"rate":12.5}"#),
        (
            Call::Shed {
                connections: 7,
                rate: 2.0,
            },
            r#"shed {"connections":7,"rate":2.0}"#,
        ),
    ] {
        let said = client.call(&address, &call, "token").await.unwrap();
        assert_eq!(said.config.as_deref(), Some(told));
        assert!(said.cordoned && said.connections == 3 && said.usage.is_none());
    }
    let refused = client.call(&address, &Call::State, "other").await.unwrap_err();
    assert!(refused.is_unauthorized(), "{refused}");
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let unreachable = client.call(&closed, &Call::State, "token").await.unwrap_err();
    assert!(matches!(unreachable, CallError::Unreachable(_)), "{unreachable}");
}

fn pod(number: u8) -> Arc<Pod> {
    let pod =
        json!({"metadata": {"uid": number.to_string()}, "status": {"podIP": format!("127.0.0.{number}")}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// Takes connections and never answers.
async fn cut_off(number: u8, port: u16) -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, number], port)))
        .await
        .unwrap()
}

#[tokio::test]
async fn gateways_that_are_cut_off_hold_up_nobody() {
    let address = gateway().await;
    let gateways = Gateways::at_port(address.port().into()).unwrap();
    let mut held = Vec::new();
    for number in 2..60 {
        held.push(cut_off(number, address.port()).await);
    }
    // More than three rounds of calls, each of two seconds.
    let mut pods: Vec<_> = (2..60).map(pod).collect();
    let asked = |cluster: &'static str, pods: Vec<Arc<Pod>>| {
        let gateways = &gateways;
        async move {
            let begun = Instant::now();
            assert!(!gateways.ask(cluster, &pods, "token").await);
            begun.elapsed()
        }
    };
    let waited = asked("a", pods.clone()).await;
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert!(pods.iter().all(|pod| gateways.sample(pod, None).is_none()));
    // Another cluster, while that round goes on.
    let alone = [pod(1)];
    asked("b", alone.to_vec()).await;
    assert_eq!(gateways.sample(&alone[0], None).unwrap().connections, 3);
    // One that answered is asked beside the round of those that do not.
    gateways.forget("b");
    assert_eq!(gateways.sample(&alone[0], None), None);
    pods.push(pod(1));
    gateways
        .line
        .book
        .lock()
        .list("a", pods.iter().map(|pod| key(pod)));
    gateways.line.book.lock().heard("1", Instant::now(), said(0, 1.0));
    asked("a", pods.clone()).await;
    assert_eq!(gateways.sample(&pods[58], None).unwrap().connections, 3);
}

#[tokio::test]
async fn who_refuses_the_token_is_told_and_who_is_gone_stays_gone() {
    let address = gateway().await;
    let gateways = Gateways::at_port(address.port().into()).unwrap();
    assert!(gateways.ask("a", &[pod(1)], "other").await);
    assert!(!gateways.ask("b", &[], "other").await);
    gateways.tell(&pod(1), &Call::Cordon, "token").await.unwrap();
    assert!(!gateways.ask("a", &[pod(1)], "token").await);
    gateways.forget("a");
    gateways.tell(&pod(1), &Call::Cordon, "token").await.unwrap();
    assert_eq!(gateways.sample(&pod(1), None), None);
}

//! Calls to a backend of the test's own, which answers by a list.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use ::http::HeaderValue;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::*;
use crate::metrics::Metrics;

/// What the backend does with one request.
#[derive(Clone, Copy)]
enum Act {
    Answer(&'static str),
    Status(u16),
    /// Answers when it is told to.
    Wait,
    /// So many bytes.
    Fill(usize),
}

#[derive(Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    asked: AtomicUsize,
    here: Notify,
    go: Notify,
    headers: Mutex<Vec<HeaderMap>>,
}

async fn act(State(script): State<Arc<Script>>, request: Request) -> Response {
    script.asked.fetch_add(1, Ordering::Relaxed);
    script.headers.lock().push(request.headers().clone());
    let act = script.acts.lock().pop_front().unwrap_or(Act::Answer("{}"));
    match act {
        Act::Answer(text) => text.into_response(),
        Act::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Act::Wait => {
            script.here.notify_one();
            script.go.notified().await;
            "{}".into_response()
        }
        Act::Fill(size) => Body::from(vec![b' '; size]).into_response(),
    }
}

struct Backend {
    script: Arc<Script>,
    endpoint: String,
    metrics: Metrics,
}

impl Backend {
    async fn start(acts: &[Act]) -> Self {
        let script = Arc::new(Script::default());
        script.acts.lock().extend(acts);
        let router = Router::new().route("/", post(act)).with_state(script.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            script,
            endpoint,
            metrics: Metrics::new().unwrap(),
        }
    }

    fn settings(&self) -> ProxySettings {
        ProxySettings {
            name: "backend".to_owned(),
            endpoint: Some(self.endpoint.parse().unwrap()),
            timeout: Duration::from_secs(10),
            ..ProxySettings::default()
        }
    }

    fn proxies(&self) -> Proxies {
        let log_budget = Arc::new(LogBudget::new(10));
        Proxies::new(self.metrics.proxies.clone(), log_budget, Tracer::disabled())
    }

    fn proxy(&self, settings: ProxySettings) -> Arc<Proxy> {
        let proxies = self.proxies();
        load(&proxies, &[settings]);
        proxies.get("backend").unwrap()
    }

    fn asked(&self) -> usize {
        self.script.asked.load(Ordering::Relaxed)
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics.encode().unwrap().lines().any(|line| line == series)
    }
}

fn load(proxies: &Proxies, settings: &[ProxySettings]) {
    proxies.apply(proxies.prepare(settings).unwrap());
}

fn call(kind: ProxyKind) -> Call {
    Call {
        kind,
        body: Bytes::from_static(b"{}"),
        forwarded: Forwarded::default(),
        takes_bytes: false,
    }
}

async fn ask(proxy: &Proxy, kind: ProxyKind) -> Result<Verdict<Data>, Failure> {
    proxy.ask(call(kind)).await.map(|answered| answered.verdict)
}

#[tokio::test]
async fn what_may_have_happened_is_not_asked_again() {
    let backend = Backend::start(&[Act::Status(503), Act::Status(502), Act::Answer("{}")]).await;
    let proxy = backend.proxy(backend.settings());
    for asked in 1..=2 {
        let failure = ask(&proxy, ProxyKind::Rpc).await.unwrap_err();
        assert_eq!(failure.outcome(), ProxyOutcome::Status);
        assert_eq!(backend.asked(), asked);
    }
    assert!(ask(&proxy, ProxyKind::Publish).await.is_ok());
    assert!(backend.counted(r#"natter_proxy_calls_total{kind="rpc",result="status"} 2"#));
    assert!(backend.counted(r#"natter_proxy_calls_total{kind="publish",result="answered"} 1"#));
}

#[tokio::test]
async fn what_was_not_sent_is_tried_so_often_and_counted() {
    let backend = Backend::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let proxy = backend.proxy(ProxySettings {
        endpoint: Some(nobody.parse().unwrap()),
        retries: 3,
        ..backend.settings()
    });
    let failure = ask(&proxy, ProxyKind::Rpc).await.unwrap_err();
    assert_eq!(failure.outcome(), ProxyOutcome::Unreachable);
    assert_eq!(failure.code(), ErrorCode::Internal);
    assert!(backend.counted(r#"natter_proxy_retries_total{kind="rpc"} 3"#));
}

#[tokio::test]
async fn a_connection_that_ends_unanswered_is_not_used_for_another_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_head(&mut socket).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let backend = Backend::start(&[]).await;
    let proxy = backend.proxy(ProxySettings {
        endpoint: Some(format!("http://{address}/").parse().unwrap()),
        ..backend.settings()
    });
    let failure = ask(&proxy, ProxyKind::Publish).await.unwrap_err();
    assert_eq!(failure.outcome(), ProxyOutcome::Unreachable);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

async fn read_head(socket: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n{}") {
        socket.readable().await.unwrap();
        match socket.try_read_buf(&mut head) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn a_call_ends_in_time_and_at_its_bounds() {
    let backend = Backend::start(&[Act::Wait, Act::Fill(2_001), Act::Answer("<html>")]).await;
    let proxy = backend.proxy(ProxySettings {
        timeout: Duration::from_millis(200),
        answer_max_size: 2_000,
        breaker_failures: 0,
        ..backend.settings()
    });
    for outcome in [
        ProxyOutcome::Timeout,
        ProxyOutcome::TooLarge,
        ProxyOutcome::Malformed,
    ] {
        assert_eq!(ask(&proxy, ProxyKind::Rpc).await.unwrap_err().outcome(), outcome);
    }
    assert!(
        ask(&proxy, ProxyKind::Rpc).await.is_ok(),
        "the connection is of use again"
    );
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_at_once() {
    let backend = Backend::start(&[Act::Wait]).await;
    let proxy = backend.proxy(ProxySettings {
        max_in_flight: 1,
        ..backend.settings()
    });
    let first = {
        let proxy = proxy.clone();
        tokio::spawn(async move { ask(&proxy, ProxyKind::Rpc).await })
    };
    backend.script.here.notified().await;
    let failure = ask(&proxy, ProxyKind::Rpc).await.unwrap_err();
    assert_eq!(failure.code(), ErrorCode::TooManyRequests);
    assert!(backend.counted(r#"natter_proxy_calls_in_flight{proxy="backend"} 1"#));
    backend.script.go.notify_one();
    assert!(first.await.unwrap().is_ok());
    assert!(backend.counted(r#"natter_proxy_calls_in_flight{proxy="backend"} 0"#));
    assert!(ask(&proxy, ProxyKind::Rpc).await.is_ok());
    assert_eq!(backend.asked(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_frees_its_place() {
    let backend = Backend::start(&[Act::Wait]).await;
    let proxy = backend.proxy(ProxySettings {
        max_in_flight: 1,
        ..backend.settings()
    });
    let dropped = {
        let proxy = proxy.clone();
        tokio::spawn(async move { ask(&proxy, ProxyKind::Rpc).await })
    };
    backend.script.here.notified().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert!(ask(&proxy, ProxyKind::Rpc).await.is_ok());
    assert!(backend.counted(r#"natter_proxy_calls_total{kind="rpc",result="abandoned"} 1"#));
}

#[tokio::test]
async fn a_backend_that_fails_is_left_alone_and_one_that_refuses_is_not() {
    let backend = Backend::start(&[
        Act::Status(404),
        Act::Status(401),
        Act::Status(500),
        Act::Status(500),
    ])
    .await;
    let settings = ProxySettings {
        breaker_failures: 2,
        breaker_pause: Duration::from_mins(10),
        ..backend.settings()
    };
    let proxies = backend.proxies();
    load(&proxies, std::slice::from_ref(&settings));
    let proxy = proxies.get("backend").unwrap();
    for _ in 0..4 {
        assert_eq!(
            ask(&proxy, ProxyKind::Rpc).await.unwrap_err().outcome(),
            ProxyOutcome::Status
        );
    }
    let failure = ask(&proxy, ProxyKind::Rpc).await.unwrap_err();
    assert_eq!(
        (failure.outcome(), failure.code()),
        (ProxyOutcome::Open, ErrorCode::Internal)
    );
    assert_eq!(backend.asked(), 4);
    assert!(backend.counted(r#"natter_proxy_breaker_open{proxy="backend"} 1"#));
    // A reload keeps what did not change, and begins afresh with what did.
    load(&proxies, std::slice::from_ref(&settings));
    let same = proxies.get("backend").unwrap();
    assert_eq!(
        ask(&same, ProxyKind::Rpc).await.unwrap_err().outcome(),
        ProxyOutcome::Open
    );
    let changed = ProxySettings {
        retries: 1,
        ..settings
    };
    load(&proxies, &[changed]);
    assert!(
        ask(&proxies.get("backend").unwrap(), ProxyKind::Rpc)
            .await
            .is_ok()
    );
    load(&proxies, &[]);
    assert!(proxies.get("backend").is_none());
    assert!(
        !backend
            .metrics
            .encode()
            .unwrap()
            .contains("natter_proxy_breaker_open{")
    );
}

#[tokio::test]
async fn what_one_client_asks_for_leaves_the_backend_to_the_others() {
    let bytes = r#"{"result": {"b64data": "AQI="}}"#;
    let acts = [
        Act::Fill(2_001),
        Act::Answer(bytes),
        Act::Fill(2_001),
        Act::Answer(bytes),
    ];
    let backend = Backend::start(&acts).await;
    let proxy = backend.proxy(ProxySettings {
        answer_max_size: 2_000,
        breaker_failures: 2,
        ..backend.settings()
    });
    for _ in acts {
        assert!(ask(&proxy, ProxyKind::Rpc).await.is_err());
    }
    assert!(ask(&proxy, ProxyKind::Rpc).await.is_ok());
    assert_eq!(backend.asked(), 5);
}

#[tokio::test]
async fn gauges_are_those_of_the_proxies_that_are_configured() {
    let backend = Backend::start(&[Act::Wait, Act::Status(500)]).await;
    let settings = ProxySettings {
        breaker_failures: 1,
        ..backend.settings()
    };
    let proxies = backend.proxies();
    load(&proxies, std::slice::from_ref(&settings));
    let old = proxies.get("backend").unwrap();
    let waiting = {
        let old = old.clone();
        tokio::spawn(async move { ask(&old, ProxyKind::Rpc).await })
    };
    backend.script.here.notified().await;
    let changed = ProxySettings {
        retries: 1,
        ..settings
    };
    let prepared = proxies.prepare(std::slice::from_ref(&changed)).unwrap();
    assert!(
        backend.counted(r#"natter_proxy_calls_in_flight{proxy="backend"} 1"#),
        "nothing is taken yet"
    );
    proxies.apply(prepared);
    assert!(ask(&old, ProxyKind::Rpc).await.is_err(), "its breaker opens");
    for gauge in ["calls_in_flight", "breaker_open"] {
        let series = format!(r#"natter_proxy_{gauge}{{proxy="backend"}} 0"#);
        assert!(backend.counted(&series), "{series}");
    }
    load(&proxies, &[]);
    backend.script.go.notify_one();
    assert!(waiting.await.unwrap().is_ok());
    let metrics = backend.metrics.encode().unwrap();
    assert!(!metrics.contains(r#"{proxy="backend"}"#), "{metrics}");
}

#[tokio::test]
async fn a_backend_gets_the_headers_of_its_own_list() {
    let backend = Backend::start(&[]).await;
    let listing = |name: &str, header: &str| ProxySettings {
        name: name.to_owned(),
        http_headers: vec![header.parse().unwrap()],
        static_headers: vec!["X-Key: k".parse().unwrap()],
        ..backend.settings()
    };
    let proxies = backend.proxies();
    load(
        &proxies,
        &[listing("backend", "cookie"), listing("other", "x-other")],
    );
    let mut request = HeaderMap::new();
    for name in ["cookie", "x-other", "authorization"] {
        request.insert(name, HeaderValue::from_static("of the client"));
    }
    let call = Call {
        forwarded: proxies.forwarded(&request),
        ..call(ProxyKind::Rpc)
    };
    proxies.get("backend").unwrap().ask::<Data>(call).await.unwrap();
    let headers = backend.script.headers.lock();
    let mut names: Vec<_> = headers[0].keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "content-type",
            "cookie",
            "host",
            "user-agent",
            "x-key"
        ]
    );
}

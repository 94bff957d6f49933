//! Durable rooms over HTTP: what a status promises holds with NATS behind the gateway, also while NATS is away.

mod bytes;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Bound of every wait.
const LIMIT: Duration = Duration::from_secs(20);

const CONFIG: &str = "api: {keys: [natter-tests]}\n\
    rooms: {namespaces: [{name: kept, subscribe: anyone, history: {size: 10000}}, \
    {name: bytes, payload: binary, history: {size: 10000}}, \
    {name: tight, history: {stream: {max_bytes: 1MiB, discard: new}}}]}\n";

/// A backend of one gateway.
struct Backend {
    http: Client,
    url: String,
    description: Value,
}

struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl Backend {
    async fn of(gateway: &Gateway) -> Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .context("no HTTP client")?;
        let url = gateway.http_url();
        let (status, text) = gateway.get(&format!("{url}/openapi.json")).await?;
        ensure!(status == 200, "the description answered {status}");
        Ok(Self {
            http,
            url,
            description: serde_json::from_str(&text)?,
        })
    }

    /// A request about the messages of a room; its status must be one that is described.
    async fn ask(
        &self,
        method: Method,
        room: &str,
        query: &str,
        key: Option<&str>,
        body: Value,
    ) -> Result<Answer> {
        let verb = method.as_str().to_ascii_lowercase();
        let url = format!("{}/v1/rooms/{room}/messages{query}", self.url);
        let mut request = self.http.request(method, url).header("x-api-key", API_KEY);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if verb == "post" {
            request = request.body(body.to_string());
        }
        let response = request.send().await.context("no answer")?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").cloned();
        let text = response.text().await?;
        let described = &self.description["paths"]["/v1/rooms/{room}/messages"][&verb]["responses"];
        ensure!(
            described.get(status.to_string()).is_some(),
            "{verb} answered {status}, which is not described: {text}"
        );
        Ok(Answer {
            status,
            retry_after: retry_after
                .map(|seconds| seconds.to_str()?.parse().context("seconds"))
                .transpose()?,
            body: if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text)?
            },
        })
    }

    async fn post(&self, room: &str, key: Option<&str>, data: impl Into<Value>) -> Result<Answer> {
        self.ask(Method::POST, room, "", key, json!({ "data": data.into() }))
            .await
    }

    async fn list(&self, room: &str, query: &str) -> Result<Answer> {
        self.ask(Method::GET, room, query, None, Value::Null).await
    }

    /// All that a room keeps, page by page.
    async fn all(&self, room: &str, order: &str) -> Result<Vec<Value>> {
        let mut query = format!("?limit=7&order={order}");
        let mut all = Vec::new();
        loop {
            let answer = self.list(room, &query).await?;
            ensure!(answer.status == 200, "{}", answer.body);
            let messages = answer.body["messages"].as_array().context("messages")?;
            all.extend(messages.iter().map(|message| message["data"].clone()));
            match answer.body["next"].as_str() {
                Some(next) => query = format!("?limit=7&cursor={next}"),
                None => return Ok(all),
            }
        }
    }
}

async fn over_nats() -> Result<(NatsServer, Gateway, Backend)> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let config = format!("{CONFIG}bus: {{nats: {{servers: ['{}']}}}}\n", nats.url());
    let gateway = Gateway::builder().config(&config).start().await?;
    let backend = Backend::of(&gateway).await?;
    eventually("the first message is stored", LIMIT, async || {
        let answer = backend.post("kept:first", None, 0).await?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.body);
        Ok(())
    })
    .await?;
    Ok((nats, gateway, backend))
}

#[tokio::test]
async fn embedded_stores_repeats_and_pages() -> Result<()> {
    let gateway = Gateway::builder().config(CONFIG).start().await?;
    stores_repeats_and_pages(&gateway, &Backend::of(&gateway).await?).await
}

#[tokio::test]
async fn nats_stores_repeats_and_pages() -> Result<()> {
    let (_nats, gateway, backend) = over_nats().await?;
    stores_repeats_and_pages(&gateway, &backend).await
}

async fn stores_repeats_and_pages(gateway: &Gateway, backend: &Backend) -> Result<()> {
    let mut last = json!(null);
    for number in 0..20 {
        let key = format!("message/{number} ~\"*>");
        let first = backend.post("kept:room", Some(&key), number).await?;
        assert_eq!(first.status, 201, "{}", first.body);
        let repeated = backend.post("kept:room", Some(&key), number).await?;
        assert_eq!((repeated.status, &repeated.body), (200, &first.body));
        last = first.body;
    }
    let other = backend
        .post("kept:room", Some("message/3 ~\"*>"), "other")
        .await?;
    assert_eq!((other.status, &other.body["error"]["code"]), (409, &json!(107)));
    let numbers: Vec<Value> = (0..20).map(Value::from).collect();
    assert_eq!(backend.all("kept:room", "asc").await?, numbers);
    let backwards: Vec<Value> = numbers.iter().rev().cloned().collect();
    assert_eq!(backend.all("kept:room", "desc").await?, backwards);
    assert_eq!(backend.list("kept:room", "").await?.body["position"], last);

    let history = gateway
        .api(
            "history",
            &json!({ "channel": "kept:room", "limit": 2, "reverse": true }),
        )
        .await?;
    let result = &history["result"];
    assert_eq!(
        (&result["offset"], &result["epoch"]),
        (&last["offset"], &last["epoch"])
    );
    let newest: Vec<_> = result["publications"]
        .as_array()
        .context("publications")?
        .iter()
        .map(|p| &p["data"])
        .collect();
    assert_eq!(newest, [19, 18]);

    let broadcast =
        json!({ "channels": ["kept:a", "kept:b", "kept:a"], "data": 1, "idempotency_key": "one" });
    let answer = gateway.api("broadcast", &broadcast).await?;
    let responses = answer["result"]["responses"].as_array().context("responses")?;
    assert!(
        responses
            .iter()
            .all(|response| response["result"]["offset"].is_u64()),
        "{answer}"
    );
    assert_eq!(responses[0], responses[2]);
    assert_eq!(gateway.api("broadcast", &broadcast).await?, answer);

    let removed = backend
        .ask(Method::DELETE, "kept:room", "", None, Value::Null)
        .await?;
    assert_eq!((removed.status, removed.body), (204, Value::Null));
    assert_eq!(backend.all("kept:room", "asc").await?, [] as [Value; 0]);
    Ok(())
}

/// A backend that repeats each request with its key until it is told that the message is stored.
#[tokio::test]
async fn what_is_tried_again_after_an_outage_is_stored_once() -> Result<()> {
    let (nats, _gateway, backend) = over_nats().await?;
    assert_eq!(
        backend.post("kept:room", Some("before"), "before").await?.status,
        201
    );
    nats.kill()?;
    for key in ["a", "b"] {
        let refused = backend.post("kept:room", Some(key), key).await?;
        assert_eq!(
            (refused.status, &refused.body["error"]["code"]),
            (503, &json!(100)),
            "{}",
            refused.body
        );
        assert!(refused.retry_after.is_some_and(|seconds| seconds > 0));
    }
    let unread = backend.list("kept:room", "").await?;
    assert_eq!((unread.status, unread.retry_after.is_some()), (503, true));

    nats.restart().await?;
    for key in ["before", "a", "b"] {
        eventually("the repeat is answered", LIMIT, async || {
            let answer = backend.post("kept:room", Some(key), key).await?;
            ensure!(
                matches!(answer.status, 200 | 201),
                "{} {}",
                answer.status,
                answer.body
            );
            Ok(())
        })
        .await?;
    }
    assert_eq!(backend.all("kept:room", "asc").await?, ["before", "a", "b"]);
    Ok(())
}

/// Nothing acknowledged goes, and nothing is acknowledged that did not fit.
#[tokio::test]
async fn a_history_that_is_full_refuses_until_there_is_room() -> Result<()> {
    let (_nats, _gateway, backend) = over_nats().await?;
    let mut stored = 0;
    let refused = loop {
        let answer = backend.post("tight:room", None, "x".repeat(128 * 1024)).await?;
        if answer.status != 201 {
            break answer;
        }
        stored += 1;
        ensure!(stored < 64, "1 MiB took {stored} messages of 128 KiB");
    };
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (503, &json!(106)),
        "{}",
        refused.body
    );
    assert!(refused.retry_after.is_some());
    assert_eq!(backend.all("tight:room", "asc").await?.len(), stored);
    let removed = backend
        .ask(Method::DELETE, "tight:room", "", None, Value::Null)
        .await?;
    assert_eq!(removed.status, 204);
    assert_eq!(backend.post("tight:room", None, "y").await?.status, 201);
    Ok(())
}

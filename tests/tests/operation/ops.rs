//! The ops port: probes and metrics.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::port::ReservedPort;
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{LIMIT, member, metric, publish};

#[tokio::test]
async fn a_gateway_that_runs_is_alive_and_ready() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    let ops = gateway.ops_url();
    assert_eq!(
        gateway.get(&format!("{ops}/livez")).await?,
        (200, "ok\n".to_owned())
    );
    let (status, body) = gateway.ready().await?;
    let report: Value = serde_json::from_str(&body)?;
    assert_eq!(status, 200);
    assert_eq!(
        report,
        json!({ "ready": true, "bus": "up", "draining": false, "cordoned": false, "reasons": [], "revocations": "current" })
    );
    for path in ["/", "/api/info", "/connection/websocket"] {
        let (status, _) = gateway.get(&format!("{ops}{path}")).await?;
        assert_eq!(status, 404, "{path} is for the public port");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let (status, _) = gateway.get(&format!("{}{path}", gateway.http_url())).await?;
        assert_eq!(status, 404, "{path} is for the ops port");
    }
    Ok(())
}

#[tokio::test]
async fn without_its_bus_since_the_start_it_is_alive_but_not_ready() -> Result<()> {
    let nobody = ReservedPort::take()?;
    let config = format!("bus: {{ nats: {{ servers: ['nats://{}'] }} }}", nobody.address());
    let gateway = Gateway::builder().config(&config).start().await?;
    let (status, body) = gateway.ready().await?;
    assert_eq!(status, 503, "{body}");
    let report: Value = serde_json::from_str(&body)?;
    assert_eq!(report["reasons"], json!(["bus_connecting"]), "{body}");
    let (status, _) = gateway.get(&format!("{}/livez", gateway.ops_url())).await?;
    assert_eq!(status, 200);
    Ok(())
}

#[tokio::test]
async fn metrics_are_well_formed_and_explained() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!("api: {{ keys: [{API_KEY}] }}"))
        .start()
        .await?;
    let _member = member(&gateway, "lobby").await?;
    publish(&gateway, "lobby", &json!("hello")).await?;
    let (status, text) = gateway.get(&format!("{}/metrics", gateway.ops_url())).await?;
    assert_eq!(status, 200);
    let families = lint(&text)?;
    assert!(families.keys().filter(|name| name.starts_with("natter_")).count() >= 25);
    assert!(families.contains_key("process_resident_memory_bytes"));
    assert!(!text.contains("lobby"), "a room is never a label");
    Ok(())
}

#[tokio::test]
async fn every_delivery_is_timed_when_asked_for() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!(
            "api: {{ keys: [{API_KEY}] }}\nmetrics: {{ delivery_sample: 1 }}"
        ))
        .start()
        .await?;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(member(&gateway, "lobby").await?);
    }
    for number in 0..5 {
        publish(&gateway, "lobby", &json!(number)).await?;
    }
    for member in &mut members {
        for number in 0..5 {
            assert_eq!(member.push().await?["pub"]["data"], number);
        }
    }
    let namespace = [("room_namespace", "default")];
    eventually("fifteen deliveries are timed", LIMIT, async || {
        let metrics = gateway.metrics().await?;
        let value = |suffix| metrics.value(&format!("natter_delivery_latency_seconds_{suffix}"), &namespace);
        let (count, sum) = (value("count"), value("sum"));
        ensure!(count == Some(15.0), "{count:?}");
        ensure!(sum.is_some_and(|sum| sum > 0.0 && sum < 15.0), "{sum:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// What `promtool check metrics` looks at: each family has help and type before its samples, names and suffixes fit the
/// type, no series comes twice, buckets add up. Gives the type of each family.
fn lint(text: &str) -> Result<HashMap<String, String>> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let (mut kinds, mut helps, mut series) = (HashMap::new(), HashSet::new(), HashSet::new());
    let mut bucket: Option<(String, f64)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').with_context(|| format!("no help: {line}"))?;
            ensure!(helps.insert(name.to_owned()) && !help.is_empty(), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| format!("no type: {line}"))?;
            ensure!(helps.contains(name), "no help before {line}");
            ensure!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            ensure!((kind == "counter") == name.ends_with("_total"), "{line}");
        } else {
            let (key, value) = line
                .rsplit_once(' ')
                .with_context(|| format!("no value: {line}"))?;
            let value: f64 = value.parse().with_context(|| format!("no number: {line}"))?;
            ensure!(series.insert(key.to_owned()), "{key} comes twice");
            let name = key.split('{').next().unwrap_or(key);
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                let family = name.strip_suffix(suffix)?;
                kinds
                    .get(family)
                    .is_some_and(|kind| kind == "histogram")
                    .then_some(family)
            });
            ensure!(
                kinds.contains_key(family.unwrap_or(name)),
                "no type before {line}"
            );
            bucket = buckets(bucket, key, value)?;
        }
    }
    Ok(kinds)
}

/// Buckets of one series are cumulative; gives the series and the count of the last bucket.
fn buckets(last: Option<(String, f64)>, key: &str, value: f64) -> Result<Option<(String, f64)>> {
    let Some((series, _)) = key.split_once("le=\"") else {
        return Ok(last.filter(|_| !key.contains("_count")));
    };
    if let Some((known, count)) = last
        && known == series
    {
        ensure!(count <= value, "{key}: buckets shrink");
    }
    Ok(Some((series.to_owned(), value)))
}

#[tokio::test]
async fn who_asks_nothing_does_not_stay() -> Result<()> {
    let gateway = Gateway::builder()
        .config("http: { header_timeout: 2s }")
        .start()
        .await?;
    let mut half = RawSocket::connect(gateway.ops()).await?;
    half.write(b"GET /livez HTTP/1.1\r\nHost:").await?;
    half.read_to_end().await.context("half a request")?;
    let mut idle = RawSocket::connect(gateway.ops()).await?;
    idle.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let head = idle.read_head().await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    idle.read_to_end().await.context("no further request")?;
    let kind = [("kind", "timeout")];
    let timeouts = metric(&gateway, "natter_handshake_failures_total", &kind).await?;
    assert_eq!(timeouts, 1.0, "one of them had asked for something");
    gateway
        .wait_log(|line| line.message() == "no request came on the ops port", LIMIT)
        .await?;
    Ok(())
}

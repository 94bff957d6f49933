//! Spans from a publication to its deliveries, as a collector receives them.

use anyhow::{Error, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::otlp::{OtlpReceiver, Span};
use natter_tests::tls::{Authority, Terminator};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{LIMIT, member, metric, publish};

const CALLER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER_SPAN: &str = "b7ad6b7169203331";
const UNSAMPLED_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn config(tracing: &str, nats: Option<&NatsServer>) -> String {
    let nats = nats.map_or("null".to_owned(), |nats| {
        format!("{{ servers: ['{}'] }}", nats.url())
    });
    format!("api: {{ keys: [{API_KEY}] }}\ntracing: {{ {tracing} }}\nbus: {{ nats: {nats} }}")
}

/// Publishes as a caller that is traced itself.
async fn publish_within(gateway: &Gateway, traceparent: &str) -> Result<()> {
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{}/api/publish", gateway.http_url()))
        .header("x-api-key", API_KEY)
        .header("traceparent", traceparent)
        .body(json!({ "channel": "lobby", "data": traceparent }).to_string())
        .timeout(LIMIT)
        .send()
        .await?;
    let answer: Value = serde_json::from_str(&response.text().await?)?;
    ensure!(answer.get("result").is_some(), "{answer}");
    Ok(())
}

async fn members(gateway: &Gateway, count: usize) -> Result<Vec<Client>> {
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(member(gateway, "lobby").await?);
    }
    Ok(members)
}

/// The spans of the first message that was published, once there are `count` of them.
async fn trace(receiver: &OtlpReceiver, count: usize) -> Result<(Span, Vec<Span>)> {
    eventually("the trace is complete", LIMIT, async || {
        let (mut publish, deliver): (Vec<_>, Vec<_>) = receiver
            .spans()
            .into_iter()
            .partition(|span| span.name == "publish default");
        ensure!(deliver.len() >= count - 1, "{publish:?} {deliver:?}");
        ensure!(publish.len() == 1, "{publish:?} {deliver:?}");
        Ok((publish.remove(0), deliver))
    })
    .await
}

#[tokio::test]
async fn a_message_is_one_trace_over_two_gateways() -> Result<()> {
    let (nats, receiver) = (NatsServer::start().await?, OtlpReceiver::start().await?);
    let config = config(
        &format!("otlp_endpoint: '{}', sample_ratio: 1", receiver.endpoint()),
        Some(&nats),
    );
    let start = async |name| {
        let gateway = Gateway::builder()
            .config(&config)
            .env("NATTER_NODE_NAME", name)
            .name(name)
            .start()
            .await?;
        eventually("the bus is up", LIMIT, async || {
            let (status, body) = gateway.ready().await?;
            ensure!(status == 200, "{body}");
            Ok(())
        })
        .await?;
        Ok::<_, Error>(gateway)
    };
    let (one, other) = (start("one").await?, start("other").await?);
    let mut everybody = members(&one, 3).await?;
    everybody.extend(members(&other, 2).await?);
    publish(&one, "lobby", &json!("traced")).await?;
    for client in &mut everybody {
        assert_eq!(client.push().await?["pub"]["data"], "traced");
    }

    let (publish, deliver) = trace(&receiver, 3).await?;
    assert_eq!(publish.parent_id, "");
    assert_eq!(publish.resource["natter.node.name"], "one");
    assert_eq!(publish.attributes["messaging.system"], "nats");
    assert_eq!(publish.attributes["messaging.destination.name"], "lobby");
    let mut counted: Vec<_> = deliver
        .iter()
        .map(|span| {
            assert_eq!(span.name, "deliver default");
            assert_eq!(span.trace_id, publish.trace_id);
            assert_eq!(span.parent_id, publish.span_id);
            assert_eq!(
                span.attributes["messaging.message.id"],
                publish.attributes["messaging.message.id"]
            );
            assert!(span.end >= span.start && span.start >= publish.start);
            (
                span.resource["natter.node.name"].clone(),
                span.attributes["natter.members"].clone(),
            )
        })
        .collect();
    counted.sort_by_key(|(node, _)| node.to_string());
    assert_eq!(
        counted,
        [(json!("one"), json!(3)), (json!("other"), json!(2))],
        "one span for each gateway, not for each socket"
    );
    Ok(())
}

#[tokio::test]
async fn the_callers_trace_goes_on_and_its_choice_is_kept() -> Result<()> {
    let receiver = OtlpReceiver::start().await?;
    // By the ratio alone nothing would be traced.
    let tracing = format!("otlp_endpoint: '{}', sample_ratio: 0", receiver.endpoint());
    let gateway = Gateway::builder().config(&config(&tracing, None)).start().await?;
    let _member = member(&gateway, "lobby").await?;
    publish_within(&gateway, &format!("00-{UNSAMPLED_TRACE}-{CALLER_SPAN}-00")).await?;
    publish(&gateway, "lobby", &json!("without a parent")).await?;
    publish_within(&gateway, &format!("00-{CALLER_TRACE}-{CALLER_SPAN}-01")).await?;

    let (publish, deliver) = trace(&receiver, 2).await?;
    assert_eq!(
        (publish.trace_id.as_str(), publish.parent_id.as_str()),
        (CALLER_TRACE, CALLER_SPAN)
    );
    assert_eq!(deliver[0].trace_id, CALLER_TRACE);
    gateway.interrupt()?;
    assert!(gateway.wait_exit(LIMIT).await?.success());
    assert_eq!(receiver.spans().len(), 2, "the last spans come at the end");
    Ok(())
}

#[tokio::test]
async fn the_choice_not_to_trace_is_kept_at_ratio_one() -> Result<()> {
    let receiver = OtlpReceiver::start().await?;
    let tracing = format!("otlp_endpoint: '{}', sample_ratio: 1", receiver.endpoint());
    let gateway = Gateway::builder().config(&config(&tracing, None)).start().await?;
    let _member = member(&gateway, "lobby").await?;
    publish_within(&gateway, &format!("00-{UNSAMPLED_TRACE}-{CALLER_SPAN}-00")).await?;
    publish(&gateway, "lobby", &json!("by the ratio")).await?;
    gateway.interrupt()?;
    assert!(gateway.wait_exit(LIMIT).await?.success());
    let spans = receiver.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span.trace_id != UNSAMPLED_TRACE));
    Ok(())
}

#[tokio::test]
async fn traces_are_off_by_default() -> Result<()> {
    let gateway = Gateway::builder().config(&config("", None)).start().await?;
    let mut client = member(&gateway, "lobby").await?;
    publish_within(&gateway, &format!("00-{CALLER_TRACE}-{CALLER_SPAN}-01")).await?;
    client.push().await?;
    assert_eq!(
        metric(&gateway, "natter_trace_spans_total", &[]).await?,
        0.0,
        "no span was even dropped"
    );
    Ok(())
}

/// Only who shows the right certificate and trusts the right authority gets its spans to a collector behind TLS.
#[tokio::test]
async fn spans_reach_a_collector_over_tls() -> Result<()> {
    const TOKEN: &str = "a-token-for-the-collector";
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let receiver = OtlpReceiver::start().await?;
    let target = receiver.endpoint().replace("http://", "").parse()?;
    let collector = Terminator::start(target, &authority.issue(2099)?, &authority).await?;
    let folder = tempfile::tempdir()?;
    authority.issue(2099)?.write(folder.path(), "client")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), authority.pem())?;
    std::fs::write(path("stranger.pem"), stranger.pem())?;
    std::fs::write(path("headers"), format!("Authorization: Bearer {TOKEN}\n"))?;
    let start = async |authority: &str| {
        let tracing = format!(
            "sample_ratio: 1, otlp_endpoint: 'https://{}', otlp_ca_file: '{}', otlp_certificate_file: '{}', \
             otlp_key_file: '{}', otlp_headers_file: '{}'",
            collector.address(),
            path(authority),
            path("client.pem"),
            path("client.key"),
            path("headers")
        );
        Gateway::builder().config(&config(&tracing, None)).start().await
    };
    let mistrusting = start("stranger.pem").await?;
    publish(&mistrusting, "lobby", &json!(1)).await?;
    eventually("the export fails", LIMIT, async || {
        let failed = metric(&mistrusting, "natter_trace_spans_total", &[("result", "failed")]).await?;
        ensure!(failed > 0.0, "{failed}");
        Ok(())
    })
    .await?;
    ensure!(
        receiver.spans().is_empty(),
        "spans went to somebody who is not trusted"
    );

    let gateway = start("ca.pem").await?;
    publish(&gateway, "lobby", &json!(1)).await?;
    receiver
        .wait_span(|span| span.name == "publish default", LIMIT)
        .await?;
    let heard = collector.heard().to_lowercase();
    ensure!(
        heard.contains(&format!("authorization: bearer {TOKEN}")),
        "{heard}"
    );
    for gateway in [&mistrusting, &gateway] {
        let logs = format!("{:?}", gateway.logs());
        ensure!(!logs.contains(TOKEN), "the log shows the header");
    }
    Ok(())
}

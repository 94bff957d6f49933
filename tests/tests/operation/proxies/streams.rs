//! Server-sent events and HTTP streaming behind the same proxies, which are not to keep them back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use natter_tests::wire::{Encoding, Transport, Wire};
use reqwest::{Client as Http, RequestBuilder, Response, Url};
use serde_json::json;
use tokio::time::timeout;

use super::{HAPROXY_IDLE, Kind, LIMIT, NGINX_IDLE, PING, PINGS, Proxy, gateway, metric, publish};

/// What is kept back comes with what is said next, and that is a ping much later.
const PROMPTLY: Duration = Duration::from_secs(5);
const MUCH_LATER: &str = "25s";

const STREAMS: [(Transport, Encoding); 3] = [
    (Transport::Sse, Encoding::Json),
    (Transport::HttpStream, Encoding::Json),
    (Transport::HttpStream, Encoding::Protobuf),
];

/// A client whose commands go through the proxy as well.
async fn member(proxy: &Proxy, transport: Transport, encoding: Encoding) -> Result<Wire> {
    let connecting = Wire::connect(proxy.address, transport, encoding, json!({}));
    let (mut wire, _) = timeout(PROMPTLY, connecting)
        .await
        .context("the first message is kept back")??;
    let joining = wire.request(json!({ "subscribe": { "channel": "quiet" } }));
    let reply = timeout(PROMPTLY, joining).await.context("no reply")??;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    Ok(wire)
}

/// A client that only listens, and what it has heard.
struct Listener {
    response: Response,
    heard: String,
}

impl Listener {
    async fn open(request: RequestBuilder) -> Result<Self> {
        let response = timeout(PROMPTLY, request.send()).await.context("no head")??;
        ensure!(response.status() == 200, "{}", response.status());
        let mut listener = Self {
            response,
            heard: String::new(),
        };
        timeout(PROMPTLY, listener.hears(1, |line| line.contains("\"connect\"")))
            .await
            .context("the first message is kept back")??;
        Ok(listener)
    }

    /// Waits until it has heard so many of these lines.
    async fn hears(&mut self, times: usize, is_meant: impl Fn(&str) -> bool) -> Result<()> {
        while self.heard.lines().filter(|line| is_meant(line)).count() < times {
            let chunk = timeout(LIMIT, self.response.chunk()).await?.context("it broke")?;
            self.heard
                .push_str(std::str::from_utf8(&chunk.context("it ended")?)?);
        }
        Ok(())
    }
}

async fn listeners(proxy: &Proxy) -> Result<[Listener; 2]> {
    let url = format!("http://{}/connection", proxy.address);
    let asked = json!({ "subs": { "quiet": {} } }).to_string();
    let http = Http::new();
    let events = Url::parse_with_params(&format!("{url}/uni_sse"), [("cf_connect", &asked)])?;
    Ok([
        Listener::open(http.get(events)).await?,
        Listener::open(http.post(format!("{url}/uni_http_stream")).body(asked)).await?,
    ])
}

/// They say nothing, are pinged and then told something, which comes at once.
async fn stay(kind: Kind, idle: Option<&str>, pings: usize) -> Result<()> {
    let gateway = gateway(if pings == 0 { MUCH_LATER } else { PING }).await?;
    let proxy = Proxy::start(kind, &gateway, idle).await?;
    let mut members = Vec::new();
    for (transport, encoding) in STREAMS {
        let member = member(&proxy, transport, encoding).await;
        members.push(member.with_context(|| format!("{kind:?}, {transport:?}, {encoding:?}"))?);
    }
    let mut listeners = listeners(&proxy).await.with_context(|| format!("{kind:?}"))?;
    for member in &mut members {
        let pinged = member.pinged(u32::try_from(pings)?).await;
        pinged.with_context(|| format!("{kind:?}, {pings} pings"))?;
    }
    for listener in &mut listeners {
        let pinged = listener
            .hears(pings, |line| matches!(line, "{}" | "data: {}"))
            .await;
        pinged.with_context(|| format!("{kind:?}, {pings} pings"))?;
    }
    publish(&gateway, "quiet", &json!("still there")).await?;
    let all = async {
        for member in &mut members {
            let push = member.recv_where(|value| value.get("push").is_some()).await?;
            ensure!(push["push"]["pub"]["data"] == "still there", "{push}");
        }
        for listener in &mut listeners {
            listener.hears(1, |line| line.contains("still there")).await?;
        }
        Ok(())
    };
    let all = timeout(PROMPTLY, all).await;
    all.with_context(|| format!("{kind:?} keeps back what is said"))?
}

#[tokio::test]
async fn streams_come_through_the_examples_at_once() -> Result<()> {
    tokio::try_join!(stay(Kind::Nginx, None, 0), stay(Kind::Haproxy, None, 0))?;
    Ok(())
}

#[tokio::test]
async fn pings_keep_quiet_streams_behind_proxies() -> Result<()> {
    tokio::try_join!(
        stay(Kind::Nginx, Some(NGINX_IDLE), PINGS),
        stay(Kind::Haproxy, Some(HAPROXY_IDLE), PINGS),
    )?;
    Ok(())
}

/// Otherwise the other test would show nothing.
#[tokio::test]
async fn without_pings_the_proxies_cut_quiet_streams() -> Result<()> {
    let cut = async |kind| {
        let gateway = gateway(MUCH_LATER).await?;
        let proxy = Proxy::start(kind, &gateway, Some("1s")).await?;
        let mut clients = Vec::new();
        for (transport, encoding) in STREAMS {
            clients.push(member(&proxy, transport, encoding).await?);
        }
        eventually("the quiet streams are cut", Duration::from_secs(15), async || {
            let open = metric(&gateway, "natter_connections", &[]).await?;
            ensure!(open < 0.5, "{kind:?}: {open} connections");
            anyhow::Ok(())
        })
        .await?;
        drop(clients);
        anyhow::Ok(())
    };
    tokio::try_join!(cut(Kind::Nginx), cut(Kind::Haproxy))?;
    Ok(())
}

//! What a browser is sent.

use std::time::Duration;

use anyhow::{Context, Result};
use natter_tests::gateway::Gateway;
use reqwest::header::{self, HeaderMap, HeaderName};

const LIMIT: Duration = Duration::from_secs(20);

const ASSETS: [(&str, &str); 7] = [
    ("/", "text/html; charset=utf-8"),
    ("/chat.css", "text/css; charset=utf-8"),
    ("/chat.js", "text/javascript; charset=utf-8"),
    ("/dom.js", "text/javascript; charset=utf-8"),
    ("/drawer.js", "text/javascript; charset=utf-8"),
    ("/log.js", "text/javascript; charset=utf-8"),
    ("/natter.js", "text/javascript; charset=utf-8"),
];

async fn get(gateway: &Gateway, path: &str) -> Result<(u16, HeaderMap, String)> {
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let response = client.get(format!("{}{path}", gateway.http_url())).send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok((status, headers, response.text().await?))
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str> {
    let value = headers.get(name).with_context(|| format!("no {name}"))?;
    Ok(value.to_str()?)
}

#[tokio::test]
async fn every_asset_comes_with_a_strict_policy() -> Result<()> {
    let gateway = Gateway::builder().start().await?;
    for (path, content_type) in ASSETS {
        let (status, headers, body) = get(&gateway, path).await?;
        assert_eq!(status, 200, "{path}");
        assert_eq!(value(&headers, &header::CONTENT_TYPE)?, content_type, "{path}");
        assert_eq!(value(&headers, &header::X_CONTENT_TYPE_OPTIONS)?, "nosniff");
        assert_eq!(value(&headers, &header::REFERRER_POLICY)?, "no-referrer");
        assert_eq!(value(&headers, &header::CACHE_CONTROL)?, "no-cache");
        let policy = value(&headers, &header::CONTENT_SECURITY_POLICY)?;
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(
                policy.split("; ").any(|found| found == rule),
                "{path}: {rule} in {policy}"
            );
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        // The names of XML namespaces are no addresses.
        let body = body.replace("http://www.w3.org/", "");
        assert!(
            !body.contains("http://") && !body.contains("https://"),
            "{path} names another host"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_page_can_be_turned_off_and_on_while_the_gateway_runs() -> Result<()> {
    let gateway = Gateway::builder()
        .config("page: { enabled: false }")
        .start()
        .await?;
    for (path, _) in ASSETS {
        assert_eq!(get(&gateway, path).await?.0, 404, "{path}");
    }
    for (config, status) in [("", 200), ("page: { enabled: false }", 404)] {
        let before = gateway.logs().len();
        gateway.write_config(config)?;
        gateway.reload()?;
        gateway
            .wait_log_after(before, |line| line.message() == "configuration reloaded", LIMIT)
            .await?;
        assert_eq!(get(&gateway, "/").await?.0, status, "{config:?}");
    }
    Ok(())
}

//! Official clients over every transport and encoding that they speak, over two gateways, in a room that is cut and comes back.

use anyhow::{Context, Result};
use natter_tests::proxy::Proxy;
use natter_tests::script::Script;
use natter_tests::tls::Authority;
use natter_tests::{java, node, python};
use serde_json::Value;

use crate::support::{LIMIT, builder, wait_bus};
use crate::users;

const ROOMS: &str = "rooms: {namespaces: [{name: kept, subscribe: anyone, publish: anyone, presence: true, history: {size: 1000, ttl: 1h, read: anyone, force_recovery: true}}]}\n";

#[tokio::test]
async fn centrifuge_js_recovers_what_a_cut_kept_back() -> Result<()> {
    recovers(ROOMS, |env| node::start("sdk/transports.mjs", &[], env)).await
}

#[tokio::test]
async fn centrifuge_js_recovers_over_tls_as_well() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    authority.issue(2099)?.write(folder.path(), "server")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), authority.pem())?;
    let tls = format!(
        "{ROOMS}http: {{tls: {{certificate_file: '{}', key_file: '{}'}}}}\n",
        path("server.pem"),
        path("server.key")
    );
    let trusted = path("ca.pem");
    recovers(&tls, |env| {
        let secure = [("NATTER_SECURE", "s"), ("NODE_EXTRA_CA_CERTS", trusted.as_str())];
        node::start("sdk/transports.mjs", &[], &[env, &secure].concat())
    })
    .await
}

#[tokio::test]
async fn centrifuge_python_recovers_what_a_cut_kept_back() -> Result<()> {
    recovers(ROOMS, |env| python::start("sdk/through_a_cut.py", &[], env)).await
}

#[tokio::test]
async fn centrifuge_java_recovers_what_a_cut_kept_back() -> Result<()> {
    recovers(ROOMS, |env| java::start("sdk/java/ThroughACut.java", env)).await
}

/// Cuts what the clients of a script connect to, and lets them come back; the script judges what they got.
async fn recovers(config: &str, start: impl FnOnce(&[(&str, &str)]) -> Result<Script>) -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let (a, b) = tokio::try_join!(
        builder("a", &nats.url(), config).start(),
        builder("b", &nats.url(), config).start()
    )?;
    tokio::try_join!(wait_bus(&a, "up"), wait_bus(&b, "up"))?;
    let proxy = Proxy::start(a.public()).await?;
    let (host, other) = (proxy.address().to_string(), b.public().to_string());
    let script = start(&[
        ("NATTER_HOST", &host),
        ("NATTER_EMULATION", &other),
        ("NATTER_WRITER", &other),
    ])?;
    let next = async |event: &str| {
        let fits = |line: &Value| line["event"] == event || line["event"] == "failed";
        let line = script.expect_json(fits, 3 * LIMIT).await?;
        anyhow::ensure!(line["event"] == event, "{line}");
        anyhow::Ok(())
    };
    next("joined").await?;
    proxy.cut();
    script.send_line("cut")?;
    next("missed").await?;
    proxy.resume();
    script.send_line("back")?;
    next("summary").await?;
    script.wait_success(LIMIT).await.context("the clients")
}

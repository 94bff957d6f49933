//! The gateway behind nginx and `HAProxy`, with the files of `docs/examples/`.

mod streams;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::port::ReservedPort;
use natter_tests::process::Process;
use natter_tests::tools;
use natter_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{LIMIT, metric, publish};

const NGINX: &str = include_str!("../../../docs/examples/nginx.conf");
const HAPROXY: &str = include_str!("../../../docs/examples/haproxy.cfg");

/// A gateway pings every 25 s, nginx waits for 60 s and `HAProxy`, as Debian sets it up, for 50 s: here all that in a tenth or less.
const PING: &str = "2s";
const NGINX_IDLE: &str = "4800ms";
const HAPROXY_IDLE: &str = "4s";
/// As many pings as outlast both.
const PINGS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Nginx,
    Haproxy,
}

/// A proxy before one gateway; dropping it ends it and its workers.
struct Proxy {
    process: Process,
    address: SocketAddr,
    _port: ReservedPort,
    _directory: TempDir,
}

impl Proxy {
    /// `idle`: the time after which a quiet connection is cut; `None`: as the example says.
    async fn start(kind: Kind, gateway: &Gateway, idle: Option<&str>) -> Result<Self> {
        let port = ReservedPort::take()?;
        let directory = tempfile::tempdir()?;
        let ops: SocketAddr = gateway.ops_url().trim_start_matches("http://").parse()?;
        let config = match kind {
            Kind::Nginx => nginx(gateway.public(), port.address(), idle)?,
            Kind::Haproxy => haproxy(gateway.public(), ops, port.address(), idle)?,
        };
        let file = directory.path().join("proxy.conf");
        std::fs::write(&file, config)?;
        let mut command = match kind {
            Kind::Nginx => {
                let mut command = Command::new(tools::nginx()?);
                command.arg("-p").arg(directory.path()).args([
                    "-e",
                    "stderr",
                    "-g",
                    "daemon off; pid nginx.pid;",
                    "-c",
                ]);
                command
            }
            Kind::Haproxy => {
                let mut command = Command::new(tools::haproxy()?);
                command.args(["-db", "-f"]);
                command
            }
        };
        let proxy = Self {
            process: Process::spawn_group("proxy", command.arg(&file))?,
            address: port.address(),
            _port: port,
            _directory: directory,
        };
        proxy.wait_ready().await?;
        Ok(proxy)
    }

    fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    async fn wait_ready(&self) -> Result<()> {
        eventually("the proxy lets clients through", LIMIT, async || {
            if let Some(status) = self.process.exited()? {
                return Ok(Err(anyhow::anyhow!(
                    "it ended ({status}): {}",
                    self.process.stderr().tail()
                )));
            }
            Client::connected(&self.url(), json!({})).await?.0.close().await?;
            anyhow::Ok(Ok(()))
        })
        .await?
    }
}

/// Puts `new` in the place of `old`, which must be there.
fn replaced(text: &str, old: &str, new: &str) -> Result<String> {
    ensure!(text.contains(old), "no {old:?} in\n{text}");
    Ok(text.replace(old, new))
}

fn nginx(gateway: SocketAddr, listen: SocketAddr, idle: Option<&str>) -> Result<String> {
    let text = replaced(NGINX, "127.0.0.1:8000", &gateway.to_string())?;
    let text = replaced(&text, "127.0.0.1:8080", &listen.to_string())?;
    // Its own places belong to the machine.
    let places =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};"));
    let text = replaced(
        &text,
        "http {\n",
        &format!("http {{\naccess_log off;\n{}\n", places.join("\n")),
    )?;
    idle.map_or(Ok(text.clone()), |idle| replaced(&text, "3600s", idle))
}

fn haproxy(gateway: SocketAddr, ops: SocketAddr, listen: SocketAddr, idle: Option<&str>) -> Result<String> {
    let text = replaced(HAPROXY, "127.0.0.1:8000", &gateway.to_string())?;
    let text = replaced(&text, "port 9000", &format!("port {}", ops.port()))?;
    let text = replaced(&text, "127.0.0.1:8080", &listen.to_string())?;
    let Some(idle) = idle else { return Ok(text) };
    let text = replaced(&text, "timeout tunnel 1h", "")?;
    let text = replaced(&text, "timeout client 50s", &format!("timeout client {idle}"))?;
    replaced(&text, "timeout server 50s", &format!("timeout server {idle}"))
}

async fn gateway(ping: &str) -> Result<Gateway> {
    let config =
        format!("client: {{ ping_interval: {ping}, pong_timeout: 1s }}\napi: {{ keys: [{API_KEY}] }}");
    Gateway::builder().config(&config).start().await
}

async fn member(proxy: &Proxy) -> Result<Client> {
    let (mut client, _) = Client::connected(&proxy.url(), json!({})).await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": "quiet" } }))
        .await?;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    Ok(client)
}

/// Says nothing but its pongs, and is then told something.
async fn stays(kind: Kind, idle: Option<&str>, pings: usize) -> Result<()> {
    let gateway = gateway(PING).await?;
    let proxy = Proxy::start(kind, &gateway, idle).await?;
    let mut client = member(&proxy).await?;
    client.answer_pings(false);
    for number in 0..pings {
        let ping = client
            .recv()
            .await
            .with_context(|| format!("{kind:?}, after {number} pings"))?;
        ensure!(ping == json!({}), "{ping}");
        client.send_text("{}").await?;
    }
    client.answer_pings(true);
    publish(&gateway, "quiet", &json!("still there")).await?;
    ensure!(client.push().await?["pub"]["data"] == "still there");
    client.close().await
}

#[tokio::test]
async fn pings_keep_quiet_clients_behind_proxies() -> Result<()> {
    tokio::try_join!(
        stays(Kind::Nginx, Some(NGINX_IDLE), PINGS),
        stays(Kind::Haproxy, Some(HAPROXY_IDLE), PINGS),
    )?;
    Ok(())
}

#[tokio::test]
async fn the_examples_let_clients_through() -> Result<()> {
    tokio::try_join!(stays(Kind::Nginx, None, 1), stays(Kind::Haproxy, None, 1))?;
    Ok(())
}

/// Otherwise the other test would show nothing.
#[tokio::test]
async fn without_pings_the_proxies_cut_quiet_clients() -> Result<()> {
    let cut = async |kind| {
        let gateway = gateway("25s").await?;
        let proxy = Proxy::start(kind, &gateway, Some("1s")).await?;
        let client = member(&proxy).await?;
        eventually("the quiet client is cut", Duration::from_secs(15), async || {
            let open = metric(&gateway, "natter_connections", &[]).await?;
            ensure!(open < 0.5, "{kind:?}: {open} connections");
            anyhow::Ok(())
        })
        .await?;
        drop(client);
        anyhow::Ok(())
    };
    tokio::try_join!(cut(Kind::Nginx), cut(Kind::Haproxy))?;
    Ok(())
}

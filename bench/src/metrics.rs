//! What a gateway counts about itself, read from its ops port.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use natter_tests::gateway::Metrics;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One scrape of the gateway with this ops port.
pub async fn scrape(address: SocketAddr) -> anyhow::Result<Metrics> {
    let mut stream = TcpStream::connect(address)
        .await
        .context("cannot reach the ops port")?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response
        .split_once("\r\n\r\n")
        .context("the ops port answered no HTTP")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "the ops port answered {head:?}"
    );
    Metrics::parse(body)
}

/// A counter's value, 0 while it does not exist.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters of one run"
)]
pub fn count(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> u64 {
    metrics.value(name, labels).unwrap_or_default().round() as u64
}

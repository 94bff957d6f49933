//! `natter-gateway probe`: whether two clients can talk, told by the exit code and in words.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{Finished, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::port::ReservedPort;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::LIMIT;

/// Runs the probe to its end.
async fn probe(args: &[&str]) -> Result<(i32, Finished)> {
    let finished = Gateway::builder()
        .run(&[&["probe"], args].concat(), LIMIT)
        .await?;
    let code = finished.status.code().context("ended by a signal")?;
    Ok((code, finished))
}

fn url(gateway: &Gateway) -> String {
    format!("ws://{}", gateway.public())
}

#[tokio::test]
async fn two_clients_of_one_gateway_talk() -> Result<()> {
    let gateway = Gateway::builder()
        .config("client: { anonymous: allow }")
        .start()
        .await?;
    let (code, finished) = probe(&["--url", &url(&gateway)]).await?;
    ensure!(
        code == 0 && finished.stderr.is_empty() && finished.stdout.len() == 6,
        "{finished:?}"
    );
    let last = &finished.stdout[5];
    ensure!(
        last.starts_with("receive it at the other socket: after ") && last.ends_with(" ms"),
        "{last}"
    );
    Ok(())
}

#[tokio::test]
async fn two_gateways_of_one_bus_talk_and_two_buses_do_not() -> Result<()> {
    let (one, other) = tokio::try_join!(NatsServer::start(), NatsServer::start())?;
    let start = async |nats: &NatsServer| {
        let config = format!(
            "client: {{ user_id_header: x-user }}\nbus: {{ nats: {{ servers: ['{}'] }} }}",
            nats.url()
        );
        let gateway = Gateway::builder().config(&config).start().await?;
        gateway.wait_bus("up", LIMIT).await?;
        anyhow::Ok(gateway)
    };
    let (a, b, alone) = tokio::try_join!(start(&one), start(&one), start(&other))?;
    let between = async |a: &Gateway, b: &Gateway| {
        let (a, b) = (url(a), url(b));
        let args = ["--url", &a, "--url", &b, "--header", "X-User: probe"];
        probe(&[&args[..], &["--time-limit", "3s"]].concat()).await
    };
    let (code, finished) = between(&a, &b).await?;
    ensure!(code == 0, "{finished:?}");
    let (code, finished) = between(&a, &alone).await?;
    let error = "natter-gateway: probe: receive it at the other socket: not within 3s";
    ensure!(
        code == 1 && finished.stderr.iter().any(|line| line.starts_with(error)),
        "{finished:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_failed_step_is_named() -> Result<()> {
    let gateway = Gateway::builder()
        .config("client: { anonymous: deny, user_id_header: x-user }")
        .start()
        .await?;
    let port = ReservedPort::take()?;
    let nobody = format!("ws://{}", port.address());
    let url = url(&gateway);
    let other_path = format!("{url}/nothing");
    for (args, words) in [
        (vec!["--url", &nobody], vec!["connect to", "refused"]),
        (vec!["--url", &url], vec!["connect to", "3500 invalid token"]),
        (vec!["--url", &other_path], vec!["connect to", "HTTP/1.1 404"]),
    ] {
        let (code, finished) = probe(&args).await?;
        let error = finished.stderr.join("\n");
        ensure!(
            code == 1 && words.iter().all(|word| error.contains(word)),
            "{args:?}: {finished:?}"
        );
    }
    let (code, finished) = probe(&["--url", "wss://chat.example"]).await?;
    ensure!(
        code == 64 && finished.stderr.join("\n").contains("without TLS"),
        "{finished:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_refused_for_the_moment_is_asked_again_and_named_at_last() -> Result<()> {
    let port = ReservedPort::take()?;
    let config = format!(
        "client: {{ anonymous: allow }}\nbus: {{ nats: {{ servers: ['nats://{}'] }} }}",
        port.address()
    );
    let gateway = Gateway::builder().config(&config).start().await?;
    let (code, finished) = probe(&["--url", &url(&gateway), "--time-limit", "1s"]).await?;
    let error = finished.stderr.join("\n");
    ensure!(
        code == 1 && error.contains("join natter-probe: not within 1s, last refused with code 100"),
        "{finished:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_the_time_limit() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let silent = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        socket.read_to_end(&mut Vec::new()).await
    });
    let url = format!("ws://{address}");
    let (code, finished) = probe(&["--url", &url, "--time-limit", "300ms"]).await?;
    let error = finished.stderr.join("\n");
    ensure!(
        code == 1 && error.contains("connect to") && error.contains("not within 300ms"),
        "{finished:?}"
    );
    ensure!(silent.await?? > 0, "it asked for nothing");
    Ok(())
}

//! How long it takes until a user is out: 50 connections over three gateways, one call at one of them.
//!
//! Measured from the call to the moment at which the last client was told, and to the answer of the call; 20 runs each of a user whose
//! older tokens are revoked, of a ban from one room, and of the first with NATS killed and started again while the clients
//! are connected. Checks in every run that the old token is refused at each gateway and a newer one is not. Everything
//! runs on this machine. Fails when the 99th percentile, which of 20 runs is the slowest, is a second or more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use serde_json::{Value, json};
use tokio::time::Instant;

const RUNS: usize = 20;
const CONNECTIONS: usize = 50;
const BOUND: Duration = Duration::from_secs(1);
/// The bound of a wait for the bus.
const LIMIT: Duration = Duration::from_secs(20);
const ROOM: &str = "staff:room";
/// When tokens were issued: the old ones, and the newer ones.
const BEFORE: u64 = 1_000;
const AFTER: u64 = 2_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    User,
    Room,
    UserWithNatsRestarted,
}

impl Case {
    const ALL: [Self; 3] = [Self::User, Self::Room, Self::UserWithNatsRestarted];

    fn text(self) -> &'static str {
        match self {
            Self::User => "older tokens of a user",
            Self::Room => "a user in one room",
            Self::UserWithNatsRestarted => "older tokens, NATS restarted before",
        }
    }
}

/// One run: until the last client was told, and until the call was answered.
struct Took {
    told: Duration,
    answered: Duration,
}

async fn start(name: &str, nats: &str) -> Result<Gateway> {
    let config = format!(
        "node_name: {name}
api: {{ keys: [{API_KEY}] }}
drain: {{ accept: 0s, duration: 0s }}
tokens: [{{ name: backend, hmac_secrets: [of the backend] }}]
rooms: {{ namespaces: [{{ name: staff, subscribe: users, publish: users }}] }}
bus: {{ prefix: revocation, nats: {{ servers: ['{nats}'], ping_interval: 300ms }} }}"
    );
    let gateway = Gateway::builder().name(name).config(&config).start().await?;
    gateway.wait_bus("up", LIMIT).await?;
    Ok(gateway)
}

fn request(user: &str, issued_at: u64) -> Result<Value> {
    let claims = json!({ "sub": user, "iat": issued_at });
    let key = EncodingKey::from_secret(b"of the backend");
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key)?;
    Ok(json!({ "token": token }))
}

async fn member(gateway: &Gateway, user: &str, issued_at: u64) -> Result<Client> {
    let request = request(user, issued_at)?;
    let (mut client, _) = Client::connected(&gateway.ws_url(), request).await?;
    let reply = client
        .request(json!({ "subscribe": { "channel": ROOM } }))
        .await?;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    Ok(client)
}

/// When the client was told that it is out.
async fn told(case: Case, mut client: Client) -> Result<Instant> {
    client.set_limit(LIMIT);
    if case == Case::Room {
        let push = client.push().await?;
        ensure!(push["unsubscribe"]["code"] == 2000, "{push}");
        return Ok(Instant::now());
    }
    let (code, _) = client.close_frame().await?;
    ensure!(code == 3500, "{code}");
    Ok(Instant::now())
}

/// Who is out stays out, unless it comes with a newer token.
async fn check(case: Case, gateway: &Gateway, user: &str) -> Result<()> {
    if case == Case::Room {
        let request = request(user, BEFORE)?;
        let (mut client, _) = Client::connected(&gateway.ws_url(), request).await?;
        let command = json!({ "subscribe": { "channel": ROOM } });
        let reply = client.request(command).await?;
        ensure!(reply["error"]["code"] == 103, "{reply}");
        return Ok(());
    }
    let mut client = Client::connect(&gateway.ws_url()).await?;
    let connect = json!({ "id": 1, "connect": request(user, BEFORE)? });
    client.send(&connect).await?;
    ensure!(client.close_frame().await?.0 == 3500, "the old token was good");
    member(gateway, user, AFTER).await.map(drop)
}

async fn run(case: Case, number: usize, nats: &NatsServer, gateways: &[Gateway]) -> Result<Took> {
    let user = format!("user-{case:?}-{number}");
    let places = gateways.iter().cycle().take(CONNECTIONS);
    let clients = try_join_all(places.map(|gateway| member(gateway, &user, BEFORE))).await?;
    if case == Case::UserWithNatsRestarted {
        nats.kill()?;
        for gateway in gateways {
            gateway.wait_bus("down", LIMIT).await?;
        }
        nats.restart().await?;
        for gateway in gateways {
            gateway.wait_bus("up", LIMIT).await?;
        }
    }
    let tasks = clients.into_iter().map(|client| tokio::spawn(told(case, client)));
    let tasks: Vec<_> = tasks.collect();
    let (method, body) = match case {
        Case::Room => ("ban_user", json!({ "user": user, "channel": ROOM })),
        _ => (
            "invalidate_user_tokens",
            json!({ "user": user, "issued_before": AFTER }),
        ),
    };
    let gateway = gateways.first().context("no gateway")?;
    let began = Instant::now();
    let answer = gateway.api(method, &body).await?;
    let answered = began.elapsed();
    ensure!(answer.get("result").is_some(), "{answer}");
    let mut last = began;
    for task in tasks {
        last = last.max(task.await??);
    }
    for gateway in gateways {
        check(case, gateway, &user).await?;
    }
    Ok(Took {
        told: last - began,
        answered,
    })
}

/// The median and the slowest, which of 20 is the 99th percentile.
fn figures(mut all: Vec<Duration>) -> (f64, f64) {
    all.sort();
    let milliseconds = |at: usize| all.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    (milliseconds(all.len() / 2), milliseconds(all.len() - 1))
}

#[tokio::main]
async fn main() -> Result<()> {
    install_crypto();
    let nats = NatsServer::builder().jetstream().start().await?;
    let url = nats.url();
    let gateways: [Gateway; 3] =
        tokio::try_join!(start("a", &url), start("b", &url), start("c", &url))?.into();
    println!(
        "| {RUNS} runs, {CONNECTIONS} connections, ms | last client told p50 | p99 | answered p50 | p99 |"
    );
    println!("|---|---|---|---|---|");
    let mut slowest: f64 = 0.0;
    for case in Case::ALL {
        let mut all = Vec::new();
        for number in 0..RUNS {
            all.push(run(case, number, &nats, &gateways).await?);
        }
        let told = figures(all.iter().map(|took| took.told).collect());
        let answered = figures(all.iter().map(|took| took.answered).collect());
        slowest = slowest.max(told.1);
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            case.text(),
            told.0,
            told.1,
            answered.0,
            answered.1
        );
    }
    let bound = BOUND.as_secs_f64() * 1e3;
    ensure!(slowest < bound, "the slowest took {slowest:.1} ms");
    Ok(())
}

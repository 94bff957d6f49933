//! The operator's control calls, made to a real gateway: what the played gateways of the other scenarios rest on.

use anyhow::{Result, ensure};
use natter_operator::build::file_hash;
use natter_operator::gateways::{Call, CallError, Client, Said};
use natter_operator::token::{Period, TokenKey};
use natter_tests::client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::LIMIT;

const CLUSTER: &str = "d9aa1a3e-5b4c-4b52-8a27-93cf4f0a3c1d";

/// A gateway as a pod with the tokens of this cluster has it.
struct Controlled {
    gateway: Gateway,
    /// Its file at the start.
    config: String,
    client: Client,
    token: String,
    _tokens: tempfile::TempDir,
}

impl Controlled {
    async fn start() -> Result<Self> {
        Self::with("").await
    }

    /// With more configuration than the tokens.
    async fn with(more: &str) -> Result<Self> {
        let (key, now) = (
            TokenKey::new(b"a key of a test"),
            Period::of("2026-11-21T00:00:00Z".parse()?),
        );
        let tokens = tempfile::tempdir()?;
        let file = tokens.path().join("tokens");
        std::fs::write(&file, key.file(CLUSTER, now))?;
        let config = format!("ops: {{ control: {{ token_file: {} }} }}\n{more}", file.display());
        Ok(Self {
            gateway: Gateway::builder().config(&config).start().await?,
            config,
            client: Client::new()?,
            token: key.token(CLUSTER, now),
            _tokens: tokens,
        })
    }

    async fn call(&self, call: &Call, token: &str) -> Result<Said, CallError> {
        let url = self.gateway.ops_url();
        let address = url.trim_start_matches("http://");
        self.client.call(address, call, token).await
    }

    async fn told(&self, call: &Call) -> Result<Said> {
        Ok(self.call(call, &self.token).await?)
    }

    async fn wait(&self, what: &str, wanted: impl Fn(&Said) -> bool) -> Result<()> {
        eventually(what, LIMIT, async || {
            let said = self.told(&Call::State).await?;
            ensure!(wanted(&said), "{said:?}");
            anyhow::Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn a_gateway_understands_every_call_and_is_understood() -> Result<()> {
    let controlled = Controlled::start().await?;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (mut client, _) = client::Client::connected(&controlled.gateway.ws_url(), json!({})).await?;
        // One that reads, and goes when it is told to.
        clients.spawn(async move { client.close_frame().await });
    }
    let said = controlled.told(&Call::State).await?;
    ensure!(
        said.connections == 4 && said.connection_limit > 4 && said.bus_up && said.usage.is_some(),
        "{said:?}"
    );
    ensure!(!said.cordoned && !said.draining && !said.empty, "{said:?}");

    let shed = Call::Shed {
        connections: 1,
        rate: 100.0,
    };
    controlled.told(&shed).await?;
    controlled
        .wait("one was shed", |said| said.connections == 3 && said.shedding == 0)
        .await?;
    // A shed that would take weeks ends with a cordon, and when one is taken back.
    let slow = Call::Shed {
        connections: 2,
        rate: 0.000_001,
    };
    for (call, cordoned) in [(Call::Uncordon, false), (Call::Cordon, true)] {
        let said = controlled.told(&slow).await?;
        ensure!(said.shedding == 2, "{said:?}");
        let said = controlled.told(&call).await?;
        ensure!(said.shedding == 0 && said.connections == 3, "{said:?}");
        ensure!(said.cordoned == cordoned && !said.draining, "{said:?}");
    }
    let said = controlled.told(&Call::Drain { rate: 100.0 }).await?;
    ensure!(said.draining, "{said:?}");
    controlled
        .wait("it is empty", |said| said.empty && said.connections == 0)
        .await?;
    let said = controlled.told(&Call::Uncordon).await?;
    ensure!(!said.cordoned && !said.draining, "{said:?}");
    for closed in clients.join_all().await {
        closed?;
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_refuses_the_token_of_another_installation() -> Result<()> {
    let controlled = Controlled::start().await?;
    let other = TokenKey::new(b"another key").token(CLUSTER, Period::of("2026-11-21T00:00:00Z".parse()?));
    let refused = controlled.call(&Call::Cordon, &other).await;
    ensure!(
        refused.as_ref().is_err_and(CallError::is_unauthorized),
        "{refused:?}"
    );
    let said = controlled.told(&Call::State).await?;
    ensure!(!said.cordoned, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_says_which_configuration_is_in_force_and_why_it_refuses_another() -> Result<()> {
    let controlled = Controlled::start().await?;
    let first = file_hash(&controlled.config);
    let said = controlled.told(&Call::State).await?;
    ensure!(
        said.config.as_ref() == Some(&first) && said.config_error.is_none(),
        "{said:?}"
    );

    let restart = format!("{}bus: {{ linger: 9s }}\n", controlled.config);
    controlled.gateway.write_config(&restart)?;
    controlled
        .wait("it refuses what needs a restart", |said| {
            let named = said
                .config_error
                .as_ref()
                .is_some_and(|error| error.contains("bus.linger"));
            named && said.config.as_ref() == Some(&first)
        })
        .await?;

    let good = format!("{}client: {{ channel_limit: 99 }}\n", controlled.config);
    controlled.gateway.write_config(&good)?;
    controlled
        .wait("it takes what it can", |said| {
            said.config == Some(file_hash(&good)) && said.config_error.is_none()
        })
        .await
}

#[tokio::test]
async fn a_gateway_names_the_namespaces_that_jetstream_does_not_answer_for() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start_cluster(3).await?;
    // One of three elects nobody.
    nats.kill(1)?;
    nats.kill(2)?;
    let config = format!(
        "bus: {{ nats: {{ servers: [\"{}\"] }} }}\n\
         rooms: {{ namespaces: [{{ name: log, subscribe: anyone, history: {{ stream: {{ replicas: 3 }} }} }}] }}\n",
        nats.node(0)?.url()
    );
    let controlled = Controlled::with(&config).await?;
    controlled
        .wait("connected, and of no use for durable rooms", |said| {
            said.bus_up && said.namespaces.contains_key("log")
        })
        .await?;
    nats.restart(1).await?;
    nats.restart(2).await?;
    controlled
        .wait("all can be used", |said| {
            said.bus_up && said.namespaces.is_empty()
        })
        .await
}

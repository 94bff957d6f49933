//! The life of an operator: ports, election, controller for as long as it leads, and again; and its end, in which the lease is
//! given back.

use anyhow::Context as _;
use futures_util::{FutureExt, future::select};
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::info;

use crate::{
    cli::RunArgs,
    controller::{self, ControllerSettings},
    leader::Election,
    metrics::Metrics,
    ops::{self, Health, OpsState},
    telemetry::{Instance, Telemetry},
    token,
    validate::OperatorDefaults,
};

/// Runs until SIGTERM or SIGINT. Whoever loses the lease stops reconciling and waits for it again, with the others.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let identity = args.identity.clone().unwrap_or_else(identity);
    let telemetry = Telemetry::install(
        &args.log_level,
        args.log_format,
        args.otlp_endpoint.as_deref(),
        Instance {
            release: &args.release,
            identity: &identity,
        },
    )?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(work(args, identity));
    telemetry.shutdown();
    result
}

async fn work(args: RunArgs, identity: String) -> anyhow::Result<()> {
    let stop = stop_signal()?.shared();
    let metrics = Metrics::new(&args.release)?;
    let health = Health::default();
    let listener = TcpListener::bind(args.ops_listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.ops_listen))?;
    info!(version = args.release, %identity, ops = %listener.local_addr()?, "starts");
    let state = OpsState {
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let ops = tokio::spawn(ops::serve(listener, state, stop.clone()));
    let config = Config::infer().await.context("cannot find the API server")?;
    let client = Client::try_from(config.clone()).context("cannot make a client of the API server")?;
    let election = Election::join(config, &args.lease_namespace, &identity, health).await?;
    let token_key = token::load(&client, &args.lease_namespace).await?;
    let settings = ControllerSettings {
        token_key,
        namespace: args.namespace,
        identity,
        stream_deletion_limit: args.stream_deletion_limit,
        defaults: OperatorDefaults {
            gateway_image: args.gateway_image,
        },
    };
    lead(election, client, settings, metrics, stop).await?;
    ops.await?;
    info!("stopped");
    Ok(())
}

/// Reconciles whenever this operator leads, until `stop` resolves.
async fn lead(
    mut election: Election,
    client: Client,
    settings: ControllerSettings,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let result = loop {
        tokio::select! {
            () = stop.clone() => break Ok(()),
            won = election.won() => if let Err(error) = won { break Err(error) },
        }
        metrics.leads(true);
        let end = select(Box::pin(stop.clone()), Box::pin(election.lost())).map(drop);
        let run = controller::run(client.clone(), settings.clone(), metrics.clone(), end);
        let ended = run.await;
        metrics.leads(false);
        // What this operator knows of clusters is another one's to tell now.
        metrics.clusters.forget_all();
        if ended.is_err() {
            break ended;
        }
    };
    election.leave().await;
    result
}

/// Resolves on SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + Sync> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Different for every process, also for two on one machine.
fn identity() -> String {
    format!("natter-operator-{}-{:08x}", std::process::id(), fastrand::u32(..))
}

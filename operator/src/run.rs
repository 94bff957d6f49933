//! The life of an operator: ports, election, controller; and its end, in which the lease is given back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, bail};
use futures_util::FutureExt;
use kube::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};

use crate::{
    cli::RunArgs,
    controller::{self, ControllerSettings},
    leader::Election,
    metrics::Metrics,
    ops::{self, OpsState},
    telemetry::{Instance, Telemetry},
    token,
    validate::OperatorDefaults,
};

/// Runs until SIGTERM, SIGINT, or the loss of the lease, which is an error: whoever lost it must not go on.
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
    let ready = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind(args.ops_listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.ops_listen))?;
    info!(version = args.release, %identity, ops = %listener.local_addr()?, "starts");
    let state = OpsState {
        metrics: metrics.clone(),
        ready: ready.clone(),
    };
    let ops = tokio::spawn(ops::serve(listener, state, stop.clone()));
    let client = Client::try_default()
        .await
        .context("cannot find the API server")?;
    let mut election = Election::join(client.clone(), &args.lease_namespace, &identity).await?;
    ready.store(true, Ordering::Release);
    let token_key = token::load(&client, &args.lease_namespace).await?;
    let settings = ControllerSettings {
        token_key,
        namespace: args.namespace,
        identity,
        defaults: OperatorDefaults {
            gateway_image: args.gateway_image,
        },
    };
    let stopped = tokio::select! {
        () = stop.clone() => true,
        () = election.won() => {
            metrics.leads(true);
            let lost = election.lost().shared();
            let end = futures_util::future::select(stop.clone(), lost.clone()).map(drop);
            controller::run(client, settings, metrics.clone(), end).await?;
            stop.clone().now_or_never().is_some()
        }
    };
    metrics.leads(false);
    election.leave().await;
    if !stopped {
        bail!("the lease was lost");
    }
    if let Err(error) = ops.await? {
        warn!(%error, "ops port failed");
    }
    info!("stopped");
    Ok(())
}

/// Resolves on SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
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

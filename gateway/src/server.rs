//! Assembly of a gateway: threads, ports, bus; and its end.
//!
//! One multi-threaded control runtime drives the bus and the ops port; every worker is a thread with a runtime of its
//! own. Nothing listens before the settings are known to be good, and nothing is dropped silently at the end.

mod ports;
mod reload;
mod run;
mod worker_thread;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};
use uuid::Uuid;

pub use self::run::run;
use self::{ports::Ports, worker_thread::WorkerThread};
use crate::{
    api::ApiKeys,
    bus::{Embedded, Nats, NatsConfig, NatsFiles, SharedBus},
    cluster::{self, Command},
    config::{ControlSettings, Settings},
    control::Control,
    drain::{Pace, Phase},
    gateway::Gateway,
    inbox::{Inbox, Note},
    metrics::Metrics,
    ops::{self, ControlAccess, Heartbeats, OpsState, Readiness, Tokens},
    presence, revocation,
    rooms::{Linger, Rooms},
    telemetry::{TraceGuard, TraceSettings, Tracer},
};

/// Messages of one durable room that wait until a gap is filled or a full worker takes them: seconds of a busy room. Costs
/// nothing while unused.
const SUBSCRIPTION_CAPACITY: usize = 65_536;

/// How often a drain looks whether everybody is gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// A running gateway.
pub struct Server {
    pub gateway: Arc<Gateway>,
    pub public: SocketAddr,
    pub ops: SocketAddr,
    workers: Vec<WorkerThread>,
    traces: Option<TraceGuard>,
    stop: watch::Sender<bool>,
}

/// How a gateway takes its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// As the configuration says: SIGTERM.
    Drained,
    /// Without waiting for load balancers: SIGINT, a person at a terminal.
    Promptly,
}

/// Over what a prompt leave spreads its closes.
const PROMPT_WINDOW: Duration = Duration::from_millis(500);

impl Server {
    /// Binds, connects and starts everything. Must be called on the control runtime.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let control = settings.ops.control.clone();
        let ports = Ports::bind(&settings).await?;
        let (gateway, linger, traces) = assemble(settings)?;
        let proxies = gateway.proxies.prepare(&gateway.live().settings.proxies)?;
        gateway.proxies.apply(proxies);
        let tokens = gateway.tokens.prepare(&gateway.live().settings.tokens)?;
        gateway.tokens.apply(tokens);
        let keys = ApiKeys::prepare(&gateway.live().settings.api)?;
        gateway.api_keys.apply(keys, &gateway.metrics.api);
        let tls = gateway.live().settings.http.tls.clone();
        if let Some(follower) = gateway.tls.start(&tls, gateway.metrics.tls.clone())? {
            tokio::spawn(follower.run());
        }
        let bus = connect(&gateway).await?;
        gateway.attach(bus.clone());

        let critical = gateway.live().settings.bus.critical;
        let drain = gateway.drain.clone();
        let readiness = Readiness::new(bus.status(), bus.condition(), critical, drain)
            .with_revocations(gateway.revocations.clone());
        let access = control_access(&gateway, &control)?;
        revocation::start(gateway.clone());
        let heartbeats = Heartbeats::new(ports.listeners.len());
        let (stop, _) = watch::channel(false);
        let workers = start_workers(&gateway, ports.listeners, &heartbeats, &stop)?;
        let state = OpsState {
            readiness: readiness.into(),
            heartbeats,
            metrics: gateway.metrics.clone(),
            files: gateway.file_limit.clone(),
            drain: gateway.drain.clone(),
        };
        let router = ops::router(state, access);
        spawn_background(&gateway, linger, bus);
        tokio::spawn(ops::serve(
            ports.ops,
            router,
            gateway.clone(),
            stopped(stop.subscribe()),
        ));
        Ok(Self {
            gateway,
            public: ports.public_address,
            ops: ports.ops_address,
            workers,
            traces,
            stop,
        })
    }

    /// Drains and stops; returns when everything has ended, within the drain's deadline and a few seconds.
    pub async fn leave(self, how: Leave) {
        let drain = self.gateway.live().settings.drain.clone();
        let deadline = Instant::now() + drain.deadline;
        self.gateway.drain.advance(Phase::Leaving);
        // The others of its queue group get the calls at once: nothing has to notice that this gateway goes.
        if let Some(bus) = self.gateway.bus() {
            bus.leave_requests().await;
        }
        info!(?how, connections = self.open_sockets(), "leaving");
        // A gateway that refuses already was taken out of the load balancers before.
        if how == Leave::Drained && !self.gateway.drain.refuses() {
            sleep(drain.accept).await;
        }
        self.gateway.drain.advance(Phase::Refusing);
        let window = if how == Leave::Drained {
            drain.duration
        } else {
            PROMPT_WINDOW
        };
        self.gateway
            .tell_workers(&Note::Command(Command::CloseAll(Pace { window }).into()));
        while self.open_sockets() > 0 && Instant::now() < deadline {
            sleep(DRAIN_POLL).await;
        }
        if self.open_sockets() > 0 {
            warn!(
                connections = self.open_sockets(),
                "drain deadline passed; cutting what is left"
            );
        }
        self.stop().await;
    }

    async fn stop(self) {
        self.gateway.bus_calls.finish(JOIN_TIMEOUT).await;
        // Workers and the ops port stop; nobody listening is what is wanted.
        let _ = self.stop.send(true);
        for worker in self.workers {
            worker.join().await;
        }
        // Not before: until here it had members, whom a count of rooms must not miss, and whom revocations have to reach.
        self.gateway.cluster.leave(&self.gateway);
        if let Some(bus) = self.gateway.bus() {
            bus.close().await;
        }
        if let Some(traces) = self.traces {
            traces.shutdown().await;
        }
        info!("stopped");
    }

    fn open_sockets(&self) -> u64 {
        self.gateway.open_sockets.load(Ordering::Relaxed)
    }
}

/// Control calls with the tokens of the configured file, which must be there: a gateway that cannot be drained would be
/// found out only when it is to go.
fn control_access(gateway: &Arc<Gateway>, settings: &ControlSettings) -> anyhow::Result<ControlAccess> {
    let metrics = &gateway.metrics.control;
    let tokens = settings
        .token_file
        .as_ref()
        .map(|path| {
            Tokens::read(path, metrics.clone())
                .with_context(|| format!("cannot use ops.control.token_file {}", path.display()))
        })
        .transpose()?;
    if let Some(tokens) = &tokens {
        tokio::spawn(tokens.clone().follow());
    }
    Ok(ControlAccess {
        control: Arc::new(Control::new(gateway.clone())),
        tokens,
        metrics: metrics.clone(),
        log_budget: gateway.log_budget.clone(),
    })
}

/// What the threads share, not connected to anything yet.
fn assemble(settings: Settings) -> anyhow::Result<(Arc<Gateway>, Linger, Option<TraceGuard>)> {
    let metrics = Metrics::new()?;
    let node = Uuid::new_v4();
    let (tracer, guard) = start_tracer(&settings, node, &metrics)?;
    let inboxes: Vec<_> = std::iter::repeat_with(Arc::<Inbox>::default)
        .take(settings.workers)
        .collect();
    let (rooms, linger) = Rooms::new(inboxes.clone(), metrics.rooms.clone());
    let runtime = Handle::current();
    let gateway = Gateway::new(node, settings, metrics, rooms, inboxes, tracer, runtime);
    Ok((gateway, linger, guard))
}

fn start_workers(
    gateway: &Arc<Gateway>,
    listeners: Vec<std::net::TcpListener>,
    heartbeats: &Heartbeats,
    stop: &watch::Sender<bool>,
) -> anyhow::Result<Vec<WorkerThread>> {
    let start = |(id, listener)| {
        WorkerThread::start(
            id,
            gateway.clone(),
            listener,
            heartbeats.clone(),
            stop.subscribe(),
        )
    };
    listeners
        .into_iter()
        .enumerate()
        .map(start)
        .collect::<io::Result<_>>()
        .context("cannot start a worker thread")
}

fn start_tracer(
    settings: &Settings,
    node: Uuid,
    metrics: &Metrics,
) -> anyhow::Result<(Tracer, Option<TraceGuard>)> {
    let Some(endpoint) = &settings.tracing.otlp_endpoint else {
        return Ok((Tracer::disabled(), None));
    };
    let settings = TraceSettings {
        endpoint: endpoint.as_str(),
        collector: &settings.tracing,
        sample_ratio: settings.tracing.sample_ratio,
        node_id: &node.to_string(),
        node_name: &settings.node_name,
        messaging_system: if settings.bus.nats.is_some() {
            "nats"
        } else {
            "natter"
        },
    };
    let (tracer, guard) = Tracer::start(&settings, metrics.traces.clone()).context("cannot start tracing")?;
    Ok((tracer, Some(guard)))
}

async fn connect(gateway: &Arc<Gateway>) -> anyhow::Result<SharedBus> {
    let settings = gateway.live().settings.clone();
    let Some(nats) = settings.bus.nats else {
        gateway.metrics.bus.up();
        return Ok(Arc::new(Embedded::new(gateway.node, gateway.clone())));
    };
    let config = NatsConfig {
        files: NatsFiles::of(&nats),
        servers: nats.servers.iter().map(|url| url.address().clone()).collect(),
        name: nats
            .name
            .unwrap_or_else(|| format!("natter-gateway {}", settings.node_name)),
        prefix: settings.bus.prefix,
        node: gateway.node,
        ping_interval: nats.ping_interval,
        request_timeout: nats.request_timeout,
        join_timeout: settings.bus.join_timeout,
        join_concurrency: nats.join_concurrency,
        store_timeout: nats.store_timeout,
        subscription_capacity: SUBSCRIPTION_CAPACITY,
        serves_api: settings.api.nats,
        manage_streams: nats.manage_streams,
    };
    let bus = Nats::connect(config, gateway.clone(), gateway.metrics.bus.clone()).await;
    Ok(Arc::new(bus.context("cannot start the NATS client")?))
}

fn spawn_background(gateway: &Arc<Gateway>, linger: Linger, bus: SharedBus) {
    tokio::spawn(linger.run(gateway.rooms.clone(), bus, gateway.live().settings.bus.linger));
    tokio::spawn(cluster::announce(gateway.clone()));
    tokio::spawn(presence::run(gateway.clone()));
    tokio::spawn(gateway.file_limit.clone().run());
    tokio::spawn(gateway.limiter.clone().run());
    let log_budget = gateway.log_budget.clone();
    tokio::spawn(async move { log_budget.run().await });
}

/// Resolves when the gateway stops.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Longest wait for a worker thread to end.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

impl WorkerThread {
    async fn join(self) {
        let name = self.name();
        if timeout(JOIN_TIMEOUT, self.ended()).await.is_err() {
            warn!(%name, "worker does not end");
        }
    }
}

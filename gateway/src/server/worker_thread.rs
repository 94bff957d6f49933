//! The thread of one worker.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::{oneshot, watch},
    task::spawn_local,
    time::interval,
};
use tracing::error;

use super::stopped;
use crate::{gateway::Gateway, http, listener, ops::Heartbeats, rooms::WorkerId, worker::Worker};

/// How often an idle worker shows that it turns.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) struct WorkerThread {
    name: String,
    ended: oneshot::Receiver<()>,
}

impl WorkerThread {
    pub(super) fn start(
        id: WorkerId,
        gateway: Arc<Gateway>,
        listener: std::net::TcpListener,
        heartbeats: Heartbeats,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let name = format!("worker-{id}");
        let (end, ended) = oneshot::channel::<()>();
        let runtime_name = name.clone();
        thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(error) = serve(id, gateway, listener, heartbeats, stop) {
                error!(%error, worker = runtime_name, "worker could not start");
            }
            drop(end);
        })?;
        Ok(Self { name, ended })
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Resolves when the thread has ended, also by a panic.
    pub(super) async fn ended(self) {
        // Nothing is ever sent: the sender goes with the thread.
        let _ = self.ended.await;
    }
}

fn serve(
    id: WorkerId,
    gateway: Arc<Gateway>,
    listener: std::net::TcpListener,
    heartbeats: Heartbeats,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        let router = http::router(&gateway);
        let worker = Worker::new(id, gateway);
        spawn_local(worker.clone().run_inbox());
        spawn_local(worker.clone().run_broadcasts());
        spawn_local(worker.clone().run_flush());
        spawn_local(worker.clone().run_timers());
        spawn_local(listener::accept(worker.clone(), listener, router));
        spawn_local({
            let heartbeats = heartbeats.clone();
            async move {
                let mut ticks = interval(HEARTBEAT);
                loop {
                    ticks.tick().await;
                    heartbeats.beat(id);
                    worker.counters().flush();
                }
            }
        });
        stopped(stop).await;
        heartbeats.retire(id);
        Ok(())
    })
}

//! What happens to the server while some do not keep up: how large it gets, and when it cuts them.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::anyhow;
use tokio::{
    task::{AbortHandle, spawn_local},
    time::{Instant, sleep},
};

use crate::{
    kernel::Memory,
    metrics::{count, scrape},
    run::Run,
    server::Server,
};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// The most resident memory, seen by a thread of its own: a look takes longer than a delivery.
pub(super) struct Peak {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

impl Peak {
    pub(super) fn watch(server: &Server) -> Self {
        let (pids, is_over) = (server.pids().to_vec(), Arc::new(AtomicBool::new(false)));
        let told = is_over.clone();
        let thread = thread::spawn(move || {
            let mut peak = 0;
            while !told.load(Ordering::Relaxed) {
                peak = Memory::of_all(&pids)?.resident.max(peak);
                thread::sleep(INTERVAL);
            }
            Ok(peak)
        });
        Self { is_over, thread }
    }

    /// In bytes.
    pub(super) fn end(self) -> anyhow::Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("watching the memory of the server failed"))?
    }
}

/// When readers were cut for being slow, as gateways count them. Dropping it ends the watch.
pub(super) struct Cuts {
    /// Seconds since the start of the watch.
    times: Rc<RefCell<Vec<f64>>>,
    watching: AbortHandle,
}

impl Cuts {
    /// `None` for a server that does not tell.
    pub(super) async fn watch(run: &Rc<Run>) -> anyhow::Result<Option<Self>> {
        if run.server.all_ops().is_empty() {
            return Ok(None);
        }
        let (run, times) = (run.clone(), Rc::<RefCell<Vec<f64>>>::default());
        let (before, began) = (cut(&run).await?, Instant::now());
        let seen = times.clone();
        let watching = spawn_local(async move {
            // A server that has ended is noticed by the load.
            while let Ok(now) = cut(&run).await {
                let cut = usize::try_from(now - before).unwrap_or_default();
                seen.borrow_mut().resize(cut, began.elapsed().as_secs_f64());
                sleep(INTERVAL).await;
            }
        });
        Ok(Some(Self {
            times,
            watching: watching.abort_handle(),
        }))
    }

    pub(super) fn count(&self) -> usize {
        self.times.borrow().len()
    }

    pub(super) fn times(&self) -> Vec<f64> {
        self.times.borrow().clone()
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn cut(run: &Run) -> anyhow::Result<u64> {
    let mut all = 0;
    for ops in run.server.all_ops() {
        all += count(
            &scrape(*ops).await?,
            "natter_disconnects_total",
            &[("reason", "slow")],
        );
    }
    Ok(all)
}

//! Calls that are timed: so many a second by a schedule that does not wait for answers, or so many in flight.
//!
//! By a schedule, a call's time counts from when it was due, so that a stall counts for every call that it held up.
//! The runtime's timers are no finer than 1 ms, more than a call takes: a thread that only sleeps wakes the schedule.
//! In flight, a call's time counts from when it was made, and is mostly queueing when there are many.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_local},
    time::{Instant, sleep, timeout},
};

use crate::tally::{Quantiles, histogram};

/// A call that is not answered for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);

/// What became of the calls.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    pub answered: u64,
    pub seconds: f64,
    pub per_second: f64,
    /// In milliseconds.
    pub latency: Quantiles,
    /// From when a call was due until it was made: the client's own part. 0 without a schedule.
    pub late: Quantiles,
    pub failed: u64,
    pub trouble: Option<String>,
}

/// In microseconds.
struct Counts {
    latencies: RefCell<Histogram<u64>>,
    late: RefCell<Histogram<u64>>,
    made: Cell<u64>,
    answered: Cell<u64>,
    failed: Cell<u64>,
    trouble: RefCell<Option<String>>,
}

impl Counts {
    fn new() -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            latencies: RefCell::new(histogram()?),
            late: RefCell::new(histogram()?),
            made: Cell::default(),
            answered: Cell::default(),
            failed: Cell::default(),
            trouble: RefCell::default(),
        }))
    }

    fn ended(&self, since: Instant, result: anyhow::Result<()>) {
        match result {
            Ok(()) => {
                self.answered.set(self.answered.get() + 1);
                self.latencies
                    .borrow_mut()
                    .saturating_record(micros(since.elapsed()));
            }
            Err(error) => {
                self.failed.set(self.failed.get() + 1);
                self.trouble
                    .borrow_mut()
                    .get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    fn timed(&self, took: Duration) -> Timed {
        let seconds = took.as_secs_f64();
        Timed {
            answered: self.answered.get(),
            seconds,
            per_second: self.answered.get() as f64 / seconds,
            latency: Quantiles::of(&self.latencies.borrow()),
            late: Quantiles::of(&self.late.borrow()),
            failed: self.failed.get(),
            trouble: self.trouble.borrow().clone(),
        }
    }
}

/// As histograms count.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Timed {
    /// An error names the first call that failed.
    pub fn check(&self, what: &str) -> anyhow::Result<()> {
        if self.failed > 0 || self.answered == 0 {
            let trouble = self.trouble.as_deref().unwrap_or("nothing was answered");
            bail!("{} of {what} failed; first: {trouble}", self.failed);
        }
        Ok(())
    }

    /// `p50 0.21 ms, p99 1.30 ms`.
    pub fn latency_text(&self) -> String {
        format!("p50 {:.2} ms, p99 {:.2} ms", self.latency.p50, self.latency.p99)
    }
}

/// Makes calls, numbered from 0, `rate` a second for `duration`.
pub async fn at_rate<F>(
    rate: f64,
    duration: Duration,
    mut call: impl FnMut(usize) -> F,
) -> anyhow::Result<Timed>
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let counts = Counts::new()?;
    let began = Instant::now();
    let mut schedule = schedule(rate, began, duration);
    let mut number = 0;
    while let Some(due) = schedule.recv().await {
        let (counts, answer) = (counts.clone(), call(number));
        counts.late.borrow_mut().saturating_record(micros(due.elapsed()));
        counts.made.set(counts.made.get() + 1);
        spawn_local(async move { counts.ended(due, answer.await) });
        number += 1;
    }
    let took = began.elapsed();
    let all = async {
        while counts.answered.get() + counts.failed.get() < counts.made.get() {
            sleep(POLL).await;
        }
    };
    timeout(LOST_AFTER, all)
        .await
        .context("calls were not answered")?;
    Ok(counts.timed(took))
}

/// Tells when each call is due, at that moment. The queue has no bound: it holds what is late.
fn schedule(rate: f64, began: Instant, duration: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (tell, due) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let mut number = 0_u32;
        loop {
            let after = Duration::from_secs_f64(f64::from(number) / rate);
            if after >= duration {
                return;
            }
            thread::sleep(after.saturating_sub(began.elapsed()));
            if tell.send(began + after).is_err() {
                return;
            }
            number += 1;
        }
    });
    due
}

/// When a run of calls in flight ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many were made, or one failed.
    Calls(usize),
    /// So many were made, whatever became of them.
    Attempts(usize),
    /// The time is over, or one failed.
    Elapsed(Duration),
}

impl Until {
    /// Before the call with this number.
    fn is_over(self, number: usize, began: Instant, failed: u64) -> bool {
        match self {
            Self::Calls(most) => number >= most || failed > 0,
            Self::Attempts(most) => number >= most,
            Self::Elapsed(duration) => began.elapsed() >= duration || failed > 0,
        }
    }
}

/// Makes calls, numbered from 0, each as soon as one of `in_flight` before it was answered. `call` also gets which of them.
pub async fn in_flight<F>(
    in_flight: usize,
    until: Until,
    call: impl Fn(usize, usize) -> F + 'static,
) -> anyhow::Result<Timed>
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let counts = Counts::new()?;
    let (call, next) = (Rc::new(call), Rc::new(Cell::new(0)));
    let began = Instant::now();
    let mut slots = JoinSet::new();
    for slot in 0..in_flight {
        let (counts, call, next) = (counts.clone(), call.clone(), next.clone());
        slots.spawn_local(async move {
            loop {
                let number = next.get();
                if until.is_over(number, began, counts.failed.get()) {
                    return anyhow::Ok(());
                }
                next.set(number + 1);
                let made = Instant::now();
                let answer = timeout(LOST_AFTER, call(slot, number)).await;
                counts.ended(made, answer.context("a call was not answered").flatten());
            }
        });
    }
    while let Some(slot) = slots.join_next().await {
        slot??;
    }
    Ok(counts.timed(began.elapsed()))
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn a_schedule_does_not_wait_for_answers() {
        let timed = run(at_rate(1_000.0, Duration::from_millis(50), |_| async {
            sleep(Duration::from_millis(100)).await;
            Ok(())
        }));
        let timed = timed.unwrap();
        assert_eq!((timed.answered, timed.failed), (50, 0));
        assert!(timed.latency.p50 >= 99.0);
    }

    #[test]
    fn calls_in_flight_are_bounded_and_failures_end_the_run() {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let seen = most.clone();
        let timed = run(in_flight(3, Until::Calls(10), move |_, number| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                tokio::task::yield_now().await;
                now.set(now.get() - 1);
                anyhow::ensure!(number < 9, "enough");
                Ok(())
            }
        }));
        let timed = timed.unwrap();
        assert_eq!((timed.answered, timed.failed, seen.get()), (9, 1, 3));
        assert!(timed.check("calls").unwrap_err().to_string().contains("enough"));
    }

    #[test]
    fn attempts_go_on_after_a_failure() {
        let timed = run(in_flight(2, Until::Attempts(9), |_, number| async move {
            anyhow::ensure!(number % 3 > 0, "no");
            Ok(())
        }));
        let timed = timed.unwrap();
        assert_eq!((timed.answered, timed.failed), (6, 3));
    }
}

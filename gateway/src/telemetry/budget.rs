//! Bounded log volume: a flood of one cause must not drown the other lines, nor cost the gateway its time.
//!
//! Each cause may write a number of lines a second; when the second ends, one line says how many were left
//! out. Asking costs one atomic add and no clock: [`LogBudget::run`] ends the seconds for all causes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::Level;

const WINDOW: Duration = Duration::from_secs(1);

/// The budgets of all causes of one gateway.
#[derive(Debug)]
pub struct LogBudget {
    lines: u64,
    causes: Mutex<Vec<CauseBudget>>,
}

impl LogBudget {
    /// `lines`: how many lines each cause may write a second.
    pub fn new(lines: u32) -> Self {
        Self {
            lines: lines.into(),
            causes: Mutex::new(Vec::new()),
        }
    }

    /// The budget of one cause, shared by everybody who asks for the same name. Asked for once and kept.
    /// `level` is that of the cause's lines, so that the closing line is filtered as they are.
    pub fn cause(&self, name: &'static str, level: Level) -> CauseBudget {
        let mut causes = self.causes.lock();
        if let Some(known) = causes.iter().find(|cause| cause.0.name == name) {
            return known.clone();
        }
        let cause = Cause {
            name,
            level,
            lines: self.lines,
            asked: AtomicU64::new(0),
        };
        let cause = CauseBudget(Arc::new(cause));
        causes.push(cause.clone());
        cause
    }

    /// Ends the running second: every cause that was cut says by how much, and starts afresh.
    pub fn end_window(&self) {
        let causes = self.causes.lock().clone();
        for cause in causes {
            cause.0.end_window();
        }
    }

    /// Ends a second every second, until dropped. Without it a cause stays silent once its lines are used.
    pub async fn run(self: Arc<Self>) {
        let mut seconds = interval(WINDOW);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            self.end_window();
        }
    }
}

/// The budget of one cause; clones share it, from any thread.
#[derive(Clone, Debug)]
pub struct CauseBudget(Arc<Cause>);

impl CauseBudget {
    /// Whether a line may be written now.
    #[inline]
    pub fn admit(&self) -> bool {
        self.0.asked.fetch_add(1, Ordering::Relaxed) < self.0.lines
    }
}

#[derive(Debug)]
struct Cause {
    name: &'static str,
    level: Level,
    lines: u64,
    asked: AtomicU64,
}

impl Cause {
    fn end_window(&self) {
        let suppressed = self.asked.swap(0, Ordering::Relaxed).saturating_sub(self.lines);
        if suppressed == 0 {
            return;
        }
        let cause = self.name;
        match self.level {
            Level::ERROR => tracing::error!(cause, suppressed, "more lines of this cause left out"),
            Level::WARN => tracing::warn!(cause, suppressed, "more lines of this cause left out"),
            Level::INFO => tracing::info!(cause, suppressed, "more lines of this cause left out"),
            Level::DEBUG => tracing::debug!(cause, suppressed, "more lines of this cause left out"),
            Level::TRACE => tracing::trace!(cause, suppressed, "more lines of this cause left out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;

    /// Keeps the `suppressed` field of every line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u64>>>);

    impl Visit for Lines {
        fn record_u64(&mut self, field: &Field, value: u64) {
            if field.name() == "suppressed" {
                self.0.lock().push(value);
            }
        }

        fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
    }

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn each_cause_has_its_own_lines() {
        let budget = LogBudget::new(2);
        let (slow, garbage) = (
            budget.cause("slow", Level::WARN),
            budget.cause("garbage", Level::INFO),
        );
        let admitted = (0..5).filter(|_| slow.admit()).count();
        assert_eq!(admitted, 2);
        assert!(garbage.admit());
        assert!(
            !budget.cause("slow", Level::WARN).admit(),
            "the same name shares one budget"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_second_says_what_was_left_out_once() {
        let lines = Lines::default();
        let _default = tracing::subscriber::set_default(lines.clone());
        let budget = Arc::new(LogBudget::new(3));
        let cause = budget.cause("garbage", Level::INFO);
        let running = tokio::spawn(budget.clone().run());
        tokio::task::yield_now().await;
        assert_eq!((0..10).filter(|_| cause.admit()).count(), 3);
        for _ in 0..3 {
            advance(WINDOW).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(*lines.0.lock(), [7]);
        assert!(cause.admit(), "the next second starts afresh");
        running.abort();
    }
}

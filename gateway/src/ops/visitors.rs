//! Connections to the ops port: only so many at once, so that whoever reaches it cannot take the descriptors of the gateway. One that
//! waits for a request gives way to a newcomer, the one that has waited longest first: a probe has its request with it.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Connections at once. Probes, a scrape and control calls need a handful; so many with the largest heads are 4 MiB.
pub const MOST_CONNECTIONS: usize = 256;

/// Those that are open. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Visitors(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// Numbers connections, and puts the beginnings of their waits in order.
    next: u64,
    open: HashMap<u64, Open>,
}

struct Open {
    /// `None` while a request is answered.
    waits_since: Option<u64>,
    gives_way: Arc<Notify>,
}

/// One connection among them, until it is dropped.
pub(super) struct Visit {
    visitors: Visitors,
    number: u64,
    gives_way: Arc<Notify>,
}

impl Book {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The one that has waited longest gives way; `false` when none waits.
    fn give_way(&mut self) -> bool {
        let waiting = self.open.iter();
        let oldest = waiting
            .filter_map(|(number, open)| Some((open.waits_since?, *number)))
            .min();
        let gone = oldest.and_then(|(_, number)| self.open.remove(&number));
        if let Some(gone) = &gone {
            gone.gives_way.notify_one();
        }
        gone.is_some()
    }
}

impl Visitors {
    /// A connection was opened. Returns it and whether another had to give way, which one has to where descriptors are `scarce`.
    /// When there is nothing but requests that are answered, it is the newcomer itself.
    pub(super) fn begin(&self, scarce: bool) -> (Visit, bool) {
        let gives_way = Arc::new(Notify::new());
        let mut book = self.0.lock();
        let gone = (scarce || book.open.len() >= MOST_CONNECTIONS) && book.give_way();
        let number = book.number();
        let is_full = book.open.len() >= MOST_CONNECTIONS;
        if is_full {
            gives_way.notify_one();
        } else {
            let open = Open {
                waits_since: Some(number),
                gives_way: gives_way.clone(),
            };
            book.open.insert(number, open);
        }
        let visit = Visit {
            visitors: self.clone(),
            number,
            gives_way,
        };
        (visit, gone || is_full)
    }

    /// Frees a descriptor where one can be freed.
    pub(super) fn give_way(&self) -> bool {
        self.0.lock().give_way()
    }
}

impl Visit {
    /// Resolves when it has to end for another.
    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    /// A request is there.
    pub(super) fn is_answered(&self) {
        self.set(false);
    }

    /// The request has its answer.
    pub(super) fn waits(&self) {
        self.set(true);
    }

    fn set(&self, waits: bool) {
        let mut book = self.visitors.0.lock();
        let now = book.number();
        // It is gone when it had to give way.
        if let Some(open) = book.open.get_mut(&self.number) {
            open.waits_since = waits.then_some(now);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visitors.0.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn has_to_go(visit: &Visit) -> bool {
        visit.gives_way().now_or_never().is_some()
    }

    #[test]
    fn who_has_waited_longest_gives_way() {
        let visitors = Visitors::default();
        let open: Vec<_> = (0..MOST_CONNECTIONS).map(|_| visitors.begin(false)).collect();
        assert!(open.iter().all(|(_, gone)| !gone));
        open[0].0.is_answered();
        open[1].0.is_answered();
        open[1].0.waits();
        let (_newcomer, gone) = visitors.begin(false);
        assert!(gone && has_to_go(&open[2].0));
        assert!(!has_to_go(&open[0].0) && !has_to_go(&open[1].0));
        drop(open);
        assert!(!visitors.begin(false).1);
    }

    #[test]
    fn one_that_is_answered_stays_and_the_newcomer_goes() {
        let visitors = Visitors::default();
        let open: Vec<_> = (0..MOST_CONNECTIONS).map(|_| visitors.begin(false).0).collect();
        open.iter().for_each(Visit::is_answered);
        let (newcomer, gone) = visitors.begin(false);
        assert!(gone && has_to_go(&newcomer));
        assert!(!visitors.give_way());
        assert!(!open.iter().any(has_to_go));
    }

    #[test]
    fn where_descriptors_are_scarce_each_newcomer_frees_one() {
        let visitors = Visitors::default();
        let (first, gone) = visitors.begin(true);
        assert!(!gone && !has_to_go(&first), "there is no other");
        let (second, gone) = visitors.begin(true);
        assert!(gone && has_to_go(&first) && !has_to_go(&second));
        assert!(visitors.give_way() && has_to_go(&second));
    }
}

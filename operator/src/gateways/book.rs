//! Which gateways there are, what is known of each, and which rounds of questions are under way. Only what is listed is known:
//! an answer that comes late brings nothing back that is gone.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};

use super::{client::Said, samples::Known};

/// How a gateway stands by its last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// It was not asked yet.
    #[default]
    New,
    Answers,
    Silent,
}

#[derive(Default)]
pub(super) struct Book {
    /// By the pod's uid.
    gateways: HashMap<String, Entry>,
    /// By the uid of the cluster and whom they ask.
    rounds: HashMap<(String, Standing), Round>,
}

#[derive(Default)]
struct Entry {
    cluster: String,
    standing: Standing,
    /// It did not accept the token.
    refused: bool,
    known: Known,
}

struct Round {
    begun: Instant,
    task: AbortHandle,
}

impl Standing {
    pub(super) const ALL: [Self; 3] = [Self::New, Self::Answers, Self::Silent];
}

impl Book {
    /// These are the gateways of the cluster, and no others.
    pub(super) fn list(&mut self, cluster: &str, keys: impl Iterator<Item = String>) {
        let keys: HashSet<_> = keys.collect();
        self.gateways
            .retain(|key, entry| entry.cluster != cluster || keys.contains(key));
        for key in keys {
            self.gateways.entry(key).or_insert_with(|| Entry {
                cluster: cluster.to_owned(),
                ..Entry::default()
            });
        }
    }

    pub(super) fn forget(&mut self, cluster: &str) {
        self.gateways.retain(|_, entry| entry.cluster != cluster);
        self.rounds.retain(|(its, _), round| {
            let stays = its != cluster;
            if !stays {
                round.task.abort();
            }
            stays
        });
    }

    pub(super) fn standing(&self, key: &str) -> Option<Standing> {
        self.gateways.get(key).map(|entry| entry.standing)
    }

    pub(super) fn known(&mut self, key: &str) -> Option<&mut Known> {
        self.gateways.get_mut(key).map(|entry| &mut entry.known)
    }

    /// Whether a gateway of the cluster does not accept the token.
    pub(super) fn is_refused(&self, cluster: &str) -> bool {
        let mut gateways = self.gateways.values();
        gateways.any(|entry| entry.cluster == cluster && entry.refused)
    }

    /// Whether a round can begin: the one before has ended, and began long enough ago.
    pub(super) fn is_due(&self, cluster: &str, standing: Standing, every: Duration) -> bool {
        let last = self.rounds.get(&(cluster.to_owned(), standing));
        last.is_none_or(|last| last.task.is_finished() && last.begun.elapsed() >= every)
    }

    pub(super) fn began(&mut self, cluster: &str, standing: Standing, task: AbortHandle) {
        let round = Round {
            begun: Instant::now(),
            task,
        };
        self.rounds.insert((cluster.to_owned(), standing), round);
    }

    /// Takes in an answer to what was asked then.
    pub(super) fn heard(&mut self, key: &str, asked: Instant, said: Said) {
        if let Some(entry) = self.gateways.get_mut(key) {
            (entry.standing, entry.refused) = (Standing::Answers, false);
            entry.known.heard(asked, said);
        }
    }

    /// It did not say how it is.
    pub(super) fn failed(&mut self, key: &str, refused: bool) {
        if let Some(entry) = self.gateways.get_mut(key) {
            (entry.standing, entry.refused) = (Standing::Silent, refused);
        }
    }
}

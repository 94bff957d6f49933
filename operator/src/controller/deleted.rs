//! Clusters that are gone. Nothing is left to reconcile then, Kubernetes removes what they owned; but somebody has to say what
//! stays, and to forget what is known of them.
//!
//! A watch that was away for too long begins with a new list, and says nothing of what went meanwhile. So the clusters of before
//! are kept, and compared with each list when it is complete.

use std::{collections::HashMap, mem, sync::Arc};

use futures_util::StreamExt;
use kube::{
    Api, ResourceExt,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use tracing::warn;

use super::{Context, reference};
use crate::{events, watch::Guarded};

pub(super) async fn watch(api: Api<Guarded>, context: Arc<Context>) {
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|cluster| cluster.managed_fields_mut().clear());
    let mut changes = std::pin::pin!(changes);
    let mut known = Known::default();
    while let Some(event) = changes.next().await {
        match event {
            Ok(event) => {
                for cluster in known.gone(event) {
                    forget(&context, &cluster).await;
                }
            }
            Err(error) => warn!(%error, "watch of deleted clusters failed; it is started again"),
        }
    }
}

async fn forget(context: &Context, cluster: &Guarded) {
    context.backoff.reset(&reference(cluster));
    context.metrics.clusters.remove(cluster);
    if let Some(uid) = cluster.uid() {
        context.gateways.forget(&uid);
        context.token_secrets.forget(&uid);
        context.memory.forget_owner(&uid);
    }
    if let DeserializeGuard(Ok(cluster)) = cluster {
        events::publish_retained(&context.recorder, cluster).await;
    }
}

/// The clusters that were there last, by uid.
#[derive(Default)]
struct Known {
    there: HashMap<String, Guarded>,
    /// Those of a list that is not complete yet.
    listed: HashMap<String, Guarded>,
}

impl Known {
    /// The clusters that an event says are gone, or a list no longer has.
    fn gone(&mut self, event: watcher::Event<Guarded>) -> Vec<Guarded> {
        match event {
            watcher::Event::Apply(cluster) => {
                self.there.insert(uid(&cluster), cluster);
                Vec::new()
            }
            watcher::Event::Delete(cluster) => {
                self.there.remove(&uid(&cluster));
                vec![cluster]
            }
            watcher::Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            watcher::Event::InitApply(cluster) => {
                self.listed.insert(uid(&cluster), cluster);
                Vec::new()
            }
            watcher::Event::InitDone => {
                let before = mem::replace(&mut self.there, mem::take(&mut self.listed));
                let missing = before
                    .into_iter()
                    .filter(|(uid, _)| !self.there.contains_key(uid));
                missing.map(|(_, cluster)| cluster).collect()
            }
        }
    }
}

fn uid(cluster: &Guarded) -> String {
    cluster.uid().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn cluster(name: &str, uid: &str) -> Guarded {
        let cluster = json!({
            "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
            "metadata": {"name": name, "namespace": "default", "uid": uid},
            "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
        });
        serde_json::from_value(cluster).unwrap()
    }

    fn gone(known: &mut Known, event: Event<Guarded>) -> Vec<String> {
        known.gone(event).iter().map(uid).collect()
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_gone() {
        let mut known = Known::default();
        let list = |known: &mut Known, clusters: Vec<Guarded>| {
            assert!(gone(known, Event::Init).is_empty());
            for cluster in clusters {
                assert!(gone(known, Event::InitApply(cluster)).is_empty());
            }
            gone(known, Event::InitDone)
        };
        assert!(list(&mut known, vec![cluster("a", "1"), cluster("b", "2")]).is_empty());
        assert!(gone(&mut known, Event::Apply(cluster("c", "3"))).is_empty());
        // "a" was deleted and made again, "c" deleted, while nobody watched.
        let mut missing = list(&mut known, vec![cluster("a", "4"), cluster("b", "2")]);
        missing.sort();
        assert_eq!(missing, ["1", "3"]);
        assert_eq!(gone(&mut known, Event::Delete(cluster("b", "2"))), ["2"]);
        assert_eq!(list(&mut known, Vec::new()), ["4"]);
    }

    #[test]
    fn a_list_that_begins_anew_counts_whole() {
        let mut known = Known::default();
        for event in [
            Event::Init,
            Event::InitApply(cluster("a", "1")),
            Event::InitDone,
            Event::Init,
        ] {
            assert!(gone(&mut known, event).is_empty());
        }
        for event in [Event::Init, Event::InitApply(cluster("a", "1")), Event::InitDone] {
            assert!(gone(&mut known, event).is_empty());
        }
    }
}

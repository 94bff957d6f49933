//! Clusters that are gone. Nothing is left to reconcile then, Kubernetes removes what they owned; but somebody has to say what
//! stays.

use std::sync::Arc;

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
    let mut changes = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = changes.next().await {
        match event {
            Ok(watcher::Event::Delete(cluster)) => {
                context.backoff.reset(&reference(&cluster));
                context.metrics.clusters.remove(&cluster);
                if let Some(uid) = cluster.uid() {
                    context.gateways.forget(&uid);
                    context.token_secrets.forget(&uid);
                }
                if let DeserializeGuard(Ok(cluster)) = &cluster {
                    events::publish_retained(&context.recorder, cluster).await;
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "watch of deleted clusters failed; it is started again"),
        }
    }
}

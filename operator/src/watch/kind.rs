//! The watch of one kind.

use std::{future, sync::atomic::Ordering, time::Duration};

use futures_util::{Stream, StreamExt, TryStreamExt};
use kube::{
    Client, ResourceExt,
    api::{Api, DynamicObject},
    core::GroupVersionKind,
    discovery,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::mpsc, time::sleep};
use tracing::{info, warn};

use super::{ClusterRef, ours, owner, stores::KindWriter};
use crate::error::is_not_found;

/// How often a kind that is not there is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(15);

pub(super) struct Watch {
    pub(super) client: Client,
    pub(super) api: Api<DynamicObject>,
    pub(super) writer: KindWriter,
    pub(super) clusters: mpsc::Sender<ClusterRef>,
    pub(super) kinds: mpsc::Sender<()>,
}

impl Watch {
    /// Watches as long as somebody listens.
    pub(super) async fn run(mut self) {
        let kind = self.writer.kind;
        while !self.clusters.is_closed() {
            if kind.is_optional() {
                self.wait_until_there().await;
                info!(kind = kind.name(), "kind is there");
                self.set_available(true);
            }
            self.follow().await;
            if kind.is_optional() {
                warn!(kind = kind.name(), "kind is gone");
                self.set_available(false);
            }
        }
    }

    async fn wait_until_there(&self) {
        let resource = self.writer.kind.api_resource();
        let wanted = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        while let Err(error) = discovery::pinned_kind(&self.client, &wanted).await {
            if !matches!(error, kube::Error::Discovery(_)) && !is_not_found(&error) {
                warn!(kind = self.writer.kind.name(), %error, "cannot ask whether the kind is there");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn set_available(&self, available: bool) {
        self.writer.available.store(available, Ordering::Release);
        // Somebody who has not yet seen the last change will see this one as well.
        let _ = self.kinds.try_send(());
    }

    /// Ends only when the API server no longer knows an optional kind.
    async fn follow(&mut self) {
        let kind = self.writer.kind;
        let mut events = std::pin::pin!(events(self.api.clone(), kind.is_optional()));
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    warn!(kind = kind.name(), %error, "watch failed; it is started again");
                    continue;
                }
            };
            self.writer.objects.apply_watcher_event(&event);
            if let watcher::Event::Apply(object)
            | watcher::Event::Delete(object)
            | watcher::Event::InitApply(object) = event
                && let Some(cluster) = owner(&object.metadata)
                && self.clusters.send(cluster).await.is_err()
            {
                return;
            }
        }
    }
}

/// `optional`: the stream ends when the kind is not there.
fn events(
    api: Api<DynamicObject>,
    optional: bool,
) -> impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> {
    watcher(api, ours())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .take_while(move |event| {
            let gone = optional && event.as_ref().is_err_and(is_gone);
            future::ready(!gone)
        })
        .into_stream()
}

fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => is_not_found(error),
        watcher::Error::WatchError(status) => status.code == 404,
        watcher::Error::NoResourceVersion => false,
    }
}

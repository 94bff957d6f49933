//! The watch of pods, for what Deployments do not say: why one does not start.

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, reflector::ObjectRef, reflector::store::Writer, watcher},
};
use tokio::sync::mpsc;
use tracing::warn;

use super::{ClusterRef, ours};
use crate::build::INSTANCE;

pub(super) async fn watch(
    client: Client,
    namespace: Option<String>,
    mut writer: Writer<Pod>,
    clusters: mpsc::Sender<ClusterRef>,
) {
    let api: Api<Pod> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = watcher(api, ours())
        .default_backoff()
        .modify(|pod| pod.managed_fields_mut().clear());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                warn!(%error, "watch of pods failed; it is started again");
                continue;
            }
        };
        writer.apply_watcher_event(&event);
        if let watcher::Event::Apply(pod) | watcher::Event::Delete(pod) | watcher::Event::InitApply(pod) =
            event
            && let Some(cluster) = cluster(&pod)
            && clusters.send(cluster).await.is_err()
        {
            return;
        }
    }
}

fn cluster(pod: &Pod) -> Option<ClusterRef> {
    let name = pod.labels().get(INSTANCE)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

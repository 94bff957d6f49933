//! What is known of Kubernetes: one watch for each kind that the operator makes, and one for pods. A reconcile reads from here
//! and never lists.
//!
//! Kinds that a Kubernetes cluster can be without are looked for until they are there; until then a cluster that wants one
//! says so in a condition.

mod kind;
mod pods;
mod stores;

use futures_util::Stream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client,
    api::{Api, DynamicObject},
    core::DeserializeGuard,
    runtime::{reflector::ObjectRef, watcher},
};
use tokio::{sync::mpsc, task::JoinSet};

use self::kind::Watch;
pub use self::stores::Stores;
use crate::{
    api::ChatCluster,
    build::{MANAGED_BY, OPERATOR},
    kinds::Kind,
};

/// A cluster as it is watched: one that cannot be read does not keep the others from being so.
pub type Guarded = DeserializeGuard<ChatCluster>;
/// Names a cluster.
pub type ClusterRef = ObjectRef<Guarded>;

/// Changes of objects that wait for the controller; watches pause while it is full.
const CHANGES: usize = 1024;

/// The watches' news for the controller.
pub struct Changes {
    clusters: mpsc::Receiver<ClusterRef>,
    kinds: mpsc::Receiver<()>,
}

impl Changes {
    /// Clusters of which something changed; and a tick for all clusters when a kind appeared or vanished.
    pub fn streams(self) -> (impl Stream<Item = ClusterRef>, impl Stream<Item = ()>) {
        (stream(self.clusters), stream(self.kinds))
    }
}

fn stream<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

/// Starts every watch; they end with the set. `namespace`: the only one to look at.
pub fn start(client: &Client, namespace: Option<&str>) -> (Stores, Changes, JoinSet<()>) {
    let mut watches = JoinSet::new();
    let (clusters, cluster_changes) = mpsc::channel(CHANGES);
    let (kinds, kind_changes) = mpsc::channel(1);
    let (stores, writers) = Stores::new();
    for writer in writers.kinds {
        let watch = Watch {
            client: client.clone(),
            api: api(client, namespace, writer.kind),
            writer,
            clusters: clusters.clone(),
            kinds: kinds.clone(),
        };
        watches.spawn(watch.run());
    }
    watches.spawn(pods::watch(
        client.clone(),
        namespace.map(str::to_owned),
        writers.pods,
        clusters,
    ));
    let changes = Changes {
        clusters: cluster_changes,
        kinds: kind_changes,
    };
    (stores, changes, watches)
}

fn api(client: &Client, namespace: Option<&str>, kind: Kind) -> Api<DynamicObject> {
    let resource = kind.api_resource();
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Only what this operator made.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"))
}

/// The cluster that owns an object.
fn owner(metadata: &ObjectMeta) -> Option<ClusterRef> {
    let owners = metadata.owner_references.as_ref()?;
    let owner = owners
        .iter()
        .find(|owner| owner.kind == "ChatCluster" && owner.api_version.starts_with("natter.dev/"))?;
    Some(ObjectRef::new(&owner.name).within(metadata.namespace.as_ref()?))
}

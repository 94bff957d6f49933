//! What is there of a cluster: its objects and pods, from the watches. The only step of a reconcile that looks at Kubernetes
//! before anything is written, and it does so without a request.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt, api::DynamicObject};

use crate::{
    build::{INSTANCE, REVISION},
    kinds::Kind,
    watch::Stores,
};

/// What is there of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub objects: Vec<(Kind, Arc<DynamicObject>)>,
    pub pods: Vec<Arc<Pod>>,
}

impl Observed {
    pub fn find(&self, kind: Kind, name: &str) -> Option<&DynamicObject> {
        self.of(kind)
            .find(|object| object.metadata.name.as_deref() == Some(name))
    }

    /// The gateways' pods of a revision.
    pub fn gateways_of(&self, revision: &str) -> Vec<Arc<Pod>> {
        let of_revision = |pod: &&Arc<Pod>| pod.labels().get(REVISION).is_some_and(|its| its == revision);
        self.pods.iter().filter(of_revision).cloned().collect()
    }

    /// The objects of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &DynamicObject> {
        self.objects
            .iter()
            .filter(move |(its, _)| *its == kind)
            .map(|(_, object)| object.as_ref())
    }
}

/// Collects the objects whose owner is this very cluster, not one of the same name before it.
pub fn dereference(stores: &Stores, cluster: &impl Resource<DynamicType = ()>) -> Observed {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let uid = cluster.uid().unwrap_or_default();
    let owned = |object: &DynamicObject| object.namespace() == namespace && is_owned_by(object, &uid);
    let objects = Kind::ALL
        .iter()
        .flat_map(|kind| {
            stores
                .objects(*kind, owned)
                .into_iter()
                .map(|object| (*kind, object))
        })
        .collect();
    let pods = stores.pods(|pod| {
        let instance = pod.labels().get(INSTANCE);
        pod.namespace() == namespace && instance == Some(&name)
    });
    Observed { objects, pods }
}

/// Whether an object's controller is the one with this uid.
pub fn is_owned_by(object: &DynamicObject, uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.uid == uid && owner.controller == Some(true))
}

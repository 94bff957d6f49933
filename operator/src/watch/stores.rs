//! The objects that the watches keep.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    api::DynamicObject,
    runtime::reflector::{
        ObjectRef, Store,
        store::{Writer, WriterDropped},
    },
};

use crate::kinds::Kind;

/// What is known of the objects that the operator made.
#[derive(Clone)]
pub struct Stores {
    kinds: Arc<BTreeMap<Kind, KindStore>>,
    pods: Store<Pod>,
}

/// The objects of one kind.
#[derive(Clone)]
struct KindStore {
    objects: Store<DynamicObject>,
    available: Arc<AtomicBool>,
}

/// The ends that the watches write to.
pub(super) struct Writers {
    pub(super) kinds: Vec<KindWriter>,
    pub(super) pods: Writer<Pod>,
}

pub(super) struct KindWriter {
    pub(super) kind: Kind,
    pub(super) objects: Writer<DynamicObject>,
    /// Whether the Kubernetes cluster has this kind.
    pub(super) available: Arc<AtomicBool>,
}

impl Stores {
    pub(super) fn new() -> (Self, Writers) {
        let writers = Writers {
            kinds: Kind::ALL.map(KindWriter::new).into(),
            pods: Writer::new(()),
        };
        let reader = |writer: &KindWriter| {
            let store = KindStore {
                objects: writer.objects.as_reader(),
                available: writer.available.clone(),
            };
            (writer.kind, store)
        };
        let stores = Self {
            kinds: Arc::new(writers.kinds.iter().map(reader).collect()),
            pods: writers.pods.as_reader(),
        };
        (stores, writers)
    }

    /// Resolves when everything that is always there was read once.
    pub async fn ready(&self) -> Result<(), WriterDropped> {
        for (kind, store) in self.kinds.iter() {
            if !kind.is_optional() {
                store.objects.wait_until_ready().await?;
            }
        }
        self.pods.wait_until_ready().await
    }

    /// Whether the Kubernetes cluster has this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds
            .get(&kind)
            .is_some_and(|store| store.available.load(Ordering::Acquire))
    }

    /// One object of any owner.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let reference = ObjectRef::new_with(name, kind.api_resource()).within(namespace);
        self.kinds.get(&kind)?.objects.get(&reference)
    }

    /// The objects of a kind that match.
    pub fn objects(&self, kind: Kind, matches: impl Fn(&DynamicObject) -> bool) -> Vec<Arc<DynamicObject>> {
        self.kinds
            .get(&kind)
            .map(|store| store.objects.state_filter(matches))
            .unwrap_or_default()
    }

    /// The pods that match.
    pub fn pods(&self, matches: impl Fn(&Pod) -> bool) -> Vec<Arc<Pod>> {
        self.pods.state_filter(matches)
    }
}

impl KindWriter {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            objects: Writer::new(kind.api_resource()),
            available: Arc::new(AtomicBool::new(!kind.is_optional())),
        }
    }
}

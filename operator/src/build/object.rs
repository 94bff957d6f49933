//! An object to apply: its kind, and what the operator says about it. Only that is in it, so that others keep their fields.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{ResourceExt, core::DynamicObject};
use serde::Serialize;
use serde_json::Value;

use super::{BuildError, labels};
use crate::{kinds::Kind, validate::ValidCluster};

/// An object to apply.
#[derive(Clone, Debug)]
pub struct Object {
    pub kind: Kind,
    pub value: DynamicObject,
}

impl Object {
    /// From one of the types of Kubernetes.
    pub(super) fn of(kind: Kind, typed: &impl Serialize) -> Result<Self, BuildError> {
        let error = |source| BuildError {
            what: kind.name(),
            source,
        };
        let mut json = serde_json::to_value(typed).map_err(error)?;
        remove_empty_status(&mut json);
        serde_json::from_value(json)
            .map(|value| Self { kind, value })
            .map_err(error)
    }

    /// From JSON, for kinds that have no type here.
    pub(super) fn from_json(kind: Kind, metadata: ObjectMeta, fields: Value) -> Self {
        let resource = kind.api_resource();
        let mut value = DynamicObject::new("", &resource);
        value.metadata = metadata;
        value.data = fields;
        Self { kind, value }
    }

    pub fn name(&self) -> String {
        self.value.name_any()
    }
}

/// The status belongs to Kubernetes.
fn remove_empty_status(json: &mut Value) {
    if let Some(object) = json.as_object_mut() {
        object.remove("status");
    }
}

/// Metadata of an object of a cluster.
pub(super) fn metadata(cluster: &ValidCluster, component: &str, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels::of(cluster, component)),
        owner_references: Some(vec![cluster.owner.clone()]),
        ..ObjectMeta::default()
    }
}

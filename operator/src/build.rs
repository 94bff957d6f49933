//! Every object of a cluster, from a valid spec. No client and no clock: the same spec gives the same objects.

mod config;
mod exposure;
mod gateway;
mod labels;
mod monitoring;
mod names;
mod nats;
mod network;
mod object;
mod pod;
mod service;
mod stream_deletion;

use std::fmt::Write as _;

use sha1::{Digest, Sha1};

pub use self::{
    config::{OPS_PORT, RESTART, snake},
    gateway::TOKEN_FILE,
    labels::{
        ACCEPTING, COMPONENT, GATEWAY, INSTANCE, MANAGED_BY, NATS, OPERATOR, REVISION, STREAM_DELETION,
        is_part,
    },
    names::Names,
    nats::{ADMIN_KEY, GATEWAY_KEY},
    object::Object,
    stream_deletion::{StreamDeletion, build as build_stream_deletion},
};
use crate::{kinds::Kind, validate::ValidCluster};

/// What a cluster shall consist of.
#[derive(Clone, Debug)]
pub struct Built {
    pub names: Names,
    /// Names what of a gateway only a restart can change. One Deployment for each revision.
    pub revision: String,
    /// SHA-1 of the gateways' configuration file in hexadecimal, as gateways say which one is in force.
    pub config_hash: String,
    /// Selects every gateway of the cluster, as text.
    pub selector: String,
    pub objects: Vec<Object>,
}

impl Built {
    /// Sets the pods of the current revision, which nothing in the spec decides alone.
    pub fn set_replicas(&mut self, replicas: usize) {
        let current = self.names.gateway_revision(&self.revision);
        let deployment = self
            .objects
            .iter_mut()
            .find(|object| object.kind == Kind::Deployment && object.name() == current);
        if let Some(deployment) = deployment {
            deployment.value.data["spec"]["replicas"] = replicas.into();
        }
    }
}

/// An object could not be written as JSON: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("cannot build {what}: {source}")]
pub struct BuildError {
    pub what: &'static str,
    pub source: serde_json::Error,
}

/// Builds all objects, in the order in which they are applied.
pub fn build(cluster: &ValidCluster) -> Result<Built, BuildError> {
    let names = Names::new(&cluster.namespace, &cluster.name);
    let gateways = gateway::build(cluster, &names)?;
    let mut objects = gateways.objects;
    objects.extend(service::build(cluster, &names)?);
    objects.extend(exposure::build(cluster, &names)?);
    objects.extend(network::build(cluster, &names)?);
    objects.extend(monitoring::build(cluster, &names)?);
    if let Some(nats) = &cluster.nats {
        objects.extend(nats::build(cluster, nats, &names)?);
    }
    objects.sort_by_key(|object| (object.kind, object.name()));
    Ok(Built {
        selector: labels::as_text(&labels::selector(cluster, GATEWAY)),
        revision: gateways.revision,
        config_hash: file_hash(&gateways.file),
        names,
        objects,
    })
}

/// Labels of an object that belongs to the gateways.
pub fn gateway_labels(cluster: &ValidCluster) -> std::collections::BTreeMap<String, String> {
    labels::of(cluster, GATEWAY)
}

/// SHA-1 of a file in hexadecimal.
pub fn file_hash(text: &str) -> String {
    let digest = Sha1::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(40), |mut digits, byte| {
        // Writing into memory does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Time that a gateway gets to end, from its deletion on.
pub fn grace_period(cluster: &ValidCluster) -> std::time::Duration {
    std::time::Duration::from_secs(gateway::grace_seconds(cluster))
}

/// Ten hexadecimal digits that stand for a text.
fn short_hash(text: &str) -> String {
    let digest = Sha1::digest(text.as_bytes());
    let number = digest
        .iter()
        .take(5)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:010x}")
}

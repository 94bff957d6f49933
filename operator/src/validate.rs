//! From what a `ChatCluster` says to what can be built. No client: everything that was read is already there.
//!
//! The API server has applied the schema and its rules; what is left are checks that they cannot express. What fails here
//! waits for somebody to change the spec.

mod course;
mod overlay;
mod quantity;
mod resources;

use std::time::Duration;

use k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt};
use thiserror::Error;

use crate::{
    api::{ChatCluster, ChatClusterSpec, ImagePolicy, bus::ManagedNats},
    steer::Course,
};

/// What the operator itself brings.
#[derive(Clone, Debug)]
pub struct OperatorDefaults {
    /// Image of the gateways that this operator was released with.
    pub gateway_image: String,
}

/// Why a spec cannot be built; each names the field.
#[derive(Debug, Error, PartialEq)]
pub enum Invalid {
    #[error("spec.{field}: {problem}")]
    Field { field: &'static str, problem: String },
    /// What the API server always sets is missing.
    #[error("the object has no {0}")]
    Identity(&'static str),
    /// A field whose type this operator does not understand, stored under another version of the definition.
    #[error("the object cannot be read: {0}")]
    Unreadable(String),
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidCluster {
    pub name: String,
    pub namespace: String,
    pub owner: OwnerReference,
    pub spec: ChatClusterSpec,
    /// The gateways' image, resolved.
    pub image: String,
    pub drain: Drain,
    /// What rolls and scaling keep to.
    pub course: Course,
    pub gateway_overlay: Option<PodTemplateSpec>,
    pub nats: Option<ValidNats>,
}

/// How long a gateway takes to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    pub accept: Duration,
    pub duration: Duration,
}

/// A managed NATS that can be built.
#[derive(Clone, Debug)]
pub struct ValidNats {
    pub spec: ManagedNats,
    pub overlay: Option<PodTemplateSpec>,
    /// Bytes that streams in files may take: 90 % of the volume.
    pub file_store: u64,
    /// Bytes that streams in memory may take: half of the memory that the server may use.
    pub memory_store: u64,
}

/// The gateway's defaults of `drain.accept` and `drain.duration`; a test of the built configuration compares them.
const ACCEPT: Duration = Duration::from_secs(5);
const DURATION: Duration = Duration::from_secs(20);
/// Memory for streams where no memory is requested for the server.
const MEMORY_STORE: u64 = 128 << 20;

/// Checks and resolves a cluster.
pub fn validate(cluster: &ChatCluster, defaults: &OperatorDefaults) -> Result<ValidCluster, Invalid> {
    let gateways = &cluster.spec.gateways;
    let nats = cluster.spec.bus.managed.as_ref().map(nats).transpose()?;
    let drain = drain(cluster)?;
    resources::check("gateways.resources", &gateways.resources)?;
    Ok(ValidCluster {
        name: cluster.name_any(),
        namespace: cluster.namespace().ok_or(Invalid::Identity("namespace"))?,
        owner: cluster
            .controller_owner_ref(&())
            .ok_or(Invalid::Identity("uid"))?,
        image: image(cluster, defaults),
        course: course::of(&cluster.spec, drain)?,
        drain,
        gateway_overlay: overlay::parse("gateways.podTemplate", gateways.pod_template.as_ref())?,
        nats,
        spec: cluster.spec.clone(),
    })
}

/// The image once resolved stays until somebody asks for another one.
fn image(cluster: &ChatCluster, defaults: &OperatorDefaults) -> String {
    let kept = || cluster.status.as_ref().and_then(|status| status.image.clone());
    let resolved = match (&cluster.spec.image, cluster.spec.image_policy) {
        (Some(image), _) => Some(image.clone()),
        (None, ImagePolicy::Pinned) => kept(),
        (None, ImagePolicy::FollowOperator) => None,
    };
    resolved.unwrap_or_else(|| defaults.gateway_image.clone())
}

fn drain(cluster: &ChatCluster) -> Result<Drain, Invalid> {
    let config = cluster.spec.gateways.config.drain.as_ref();
    let parse = |text: Option<&crate::api::text::DurationText>, default, field| match text {
        None => Ok(default),
        Some(text) => text.parse().ok_or_else(|| Invalid::Field {
            field,
            problem: format!("{:?} is not a duration", text.0),
        }),
    };
    Ok(Drain {
        accept: parse(
            config.and_then(|drain| drain.accept.as_ref()),
            ACCEPT,
            "gateways.config.drain.accept",
        )?,
        duration: parse(
            config.and_then(|drain| drain.duration.as_ref()),
            DURATION,
            "gateways.config.drain.duration",
        )?,
    })
}

fn nats(spec: &ManagedNats) -> Result<ValidNats, Invalid> {
    resources::check("bus.managed.resources", &spec.resources)?;
    let size = quantity::bytes(&spec.storage.size).ok_or_else(|| Invalid::Field {
        field: "bus.managed.storage.size",
        problem: format!("{:?} is not a number of bytes", spec.storage.size.0),
    })?;
    let memory = [&spec.resources.limits, &spec.resources.requests]
        .into_iter()
        .find_map(|list| list.as_ref()?.get("memory"))
        .and_then(quantity::bytes);
    Ok(ValidNats {
        spec: spec.clone(),
        overlay: overlay::parse("bus.managed.podTemplate", spec.pod_template.as_ref())?,
        file_store: size / 10 * 9,
        memory_store: memory.map_or(MEMORY_STORE, |bytes| bytes / 2),
    })
}

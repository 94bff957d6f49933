//! Deletes what a cluster no longer wants: an exposure that was turned off, gateways of a former revision.
//!
//! What belongs to a revision goes only when a roll has come to its end for that revision (see [`crate::rollout`]).

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions, PropagationPolicy},
};

use crate::{
    build::{Built, REVISION},
    controller::Context,
    dereference::Observed,
    error::{Error, is_not_found},
    kinds::Kind,
};

/// What shall go, in the order of applying turned round; `removed` are former revisions that no client needs any more. Pure,
/// so that it can be tested without Kubernetes.
pub fn unwanted<'a>(
    observed: &'a Observed,
    built: &Built,
    removed: &[String],
) -> Vec<(Kind, &'a DynamicObject)> {
    let wanted = |kind: Kind, name: &str| {
        built
            .objects
            .iter()
            .any(|object| object.kind == kind && object.name() == name)
    };
    observed
        .objects
        .iter()
        .rev()
        .map(|(kind, object)| (*kind, object.as_ref()))
        .filter(|(kind, object)| {
            object.metadata.deletion_timestamp.is_none() && !wanted(*kind, &object.name_any())
        })
        .filter(|(_, object)| {
            let revision = object.labels().get(REVISION);
            // Of the current revision nothing waits for a roll.
            revision.is_none_or(|revision| *revision == built.revision || removed.contains(revision))
        })
        .collect()
}

/// Deletes the objects that `unwanted` names.
pub async fn prune(context: &Context, unwanted: &[(Kind, &DynamicObject)]) -> Result<(), Error> {
    for (kind, object) in unwanted {
        delete(context, *kind, object, PropagationPolicy::Background).await?;
    }
    Ok(())
}

/// Deletes the object that was looked at, not one of the same name that came after it.
pub async fn delete(
    context: &Context,
    kind: Kind,
    object: &DynamicObject,
    propagation: PropagationPolicy,
) -> Result<(), Error> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &kind.api_resource());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        propagation_policy: Some(propagation),
        ..DeleteParams::default()
    };
    match api.delete(&name, &parameters).await {
        Ok(_) => context.metrics.written(kind, "delete"),
        Err(error) if is_not_found(&error) => {}
        Err(source) => {
            return Err(Error::Object {
                action: "delete",
                kind,
                name,
                source,
            });
        }
    }
    context.memory.forget(kind, object);
    Ok(())
}

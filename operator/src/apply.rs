//! Brings the objects of a cluster to what was built, by server-side apply, and leaves alone what is already so.
//!
//! An apply that changes nothing costs the API server as much as one that does. So the operator remembers for each object
//! what it applied and what the object looked like then, and applies again only when one of the two is different: what shall
//! be, or what is. In the steady state it writes nothing.

mod memory;
mod ownership;

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

pub use self::memory::Memory;
use crate::{
    build::{OPERATOR, Object},
    controller::Context,
    dereference::is_owned_by,
    error::{Error, is_not_found},
    kinds::Kind,
};

/// What an apply came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// Kinds that the cluster wants and Kubernetes does not have.
    pub missing: Vec<Kind>,
    /// One error for each object that could not be applied.
    pub errors: Vec<Error>,
}

/// Applies in order. An object that fails does not keep the others back: they may be what a person needs to help.
pub async fn apply(context: &Context, owner: &str, objects: &[Object]) -> Applied {
    let mut applied = Applied::default();
    for object in objects {
        if !context.stores.has(object.kind) {
            if !applied.missing.contains(&object.kind) {
                applied.missing.push(object.kind);
            }
        } else if let Err(error) = apply_one(context, owner, object).await {
            applied.errors.push(error);
        }
    }
    applied
}

async fn apply_one(context: &Context, owner: &str, object: &Object) -> Result<(), Error> {
    let (kind, name) = (object.kind, object.name());
    let namespace = object.value.namespace().unwrap_or_default();
    let known = context.stores.get(kind, &namespace, &name);
    if let Some(known) = &known {
        if !is_owned_by(known, owner) {
            return Err(Error::NotOurs { kind, name });
        }
        if context.memory.holds(kind, known, &object.value) {
            return Ok(());
        }
    }
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &kind.api_resource());
    if known.is_none() {
        refuse_foreign(&api, owner, kind, &name).await?;
    }
    let result = write(&api, &object.value).await.map_err(|source| Error::Object {
        action: "apply",
        kind,
        name,
        source,
    })?;
    context.metrics.written(kind, "apply");
    context.memory.remember(kind, &result, &object.value);
    Ok(())
}

/// Applies; and once more when somebody had added what we do not want.
async fn write(api: &Api<DynamicObject>, object: &DynamicObject) -> kube::Result<DynamicObject> {
    let (name, parameters) = (object.name_any(), PatchParams::apply(OPERATOR).force());
    let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await?;
    let Some(entries) = ownership::taken_over(&applied) else {
        return Ok(applied);
    };
    let version = &applied.metadata.resource_version;
    let change = json!({"metadata": {"managedFields": entries, "resourceVersion": version}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    api.patch(&name, &parameters, &Patch::Apply(object)).await
}

/// An object that the watches do not know may still be there, without our label. A forced apply would take it over.
async fn refuse_foreign(api: &Api<DynamicObject>, owner: &str, kind: Kind, name: &str) -> Result<(), Error> {
    match api.get(name).await {
        Ok(found) if is_owned_by(&found, owner) => Ok(()),
        Ok(_) => Err(Error::NotOurs {
            kind,
            name: name.to_owned(),
        }),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(source) => Err(Error::Object {
            action: "read",
            kind,
            name: name.to_owned(),
            source,
        }),
    }
}

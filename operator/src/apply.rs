//! Brings the objects of a cluster to what was built, by server-side apply, and leaves alone what is already so.
//!
//! An apply that changes nothing costs the API server as much as one that does. So the operator remembers for each object
//! what it applied and what the object looked like then, and applies again only when one of the two is different: what shall
//! be, or what is. In the steady state it writes nothing.
//!
//! # What fails
//!
//! An object that cannot be applied keeps nothing else back, and is tried again after a while of its own, longer each time: a
//! cluster in the middle of a roll is looked at every other second, and must not ask a webhook that hangs as often. Only what the
//! gateways themselves consist of stops their roll ([`Applied::lets_gateways_go`]): were an Ingress enough, a webhook of
//! somebody else that is away would stop every drain, those included that should be paused.

mod failures;
mod memory;
mod ownership;

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

pub use self::memory::Memory;
use crate::{
    build::{Names, OPERATOR, Object},
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
    /// Those objects, in the same order.
    failed: Vec<(Kind, String)>,
}

impl Applied {
    /// The first error about what gateways of this revision consist of or are reached by. While there is one, none may be sent away.
    pub fn lets_gateways_go(&self, names: &Names, revision: &str) -> Result<(), &Error> {
        let (own, service) = (names.gateway_revision(revision), names.cluster());
        self.spares(|kind, name| match kind {
            Kind::Deployment | Kind::ConfigMap => name == own,
            Kind::Service => name == service,
            Kind::ServiceAccount => true,
            _ => false,
        })
    }

    /// The first error about what servers of a managed NATS need to start. While there is one, none may be restarted.
    pub fn lets_servers_go(&self, names: &Names) -> Result<(), &Error> {
        let (set, headless) = (names.nats(), names.nats_headless());
        self.spares(|kind, name| match kind {
            Kind::StatefulSet | Kind::ConfigMap | Kind::Service => name == set || name == headless,
            _ => false,
        })
    }

    fn spares(&self, needed: impl Fn(Kind, &str) -> bool) -> Result<(), &Error> {
        let failed = self.failed.iter().zip(&self.errors);
        let mut needed = failed.filter(|((kind, name), _)| needed(*kind, name));
        needed.next().map_or(Ok(()), |(_, error)| Err(error))
    }

    fn fail(&mut self, object: &Object, error: Error) {
        self.failed.push((object.kind, object.name()));
        self.errors.push(error);
    }
}

/// Applies in order. An object that fails does not keep the others back: they may be what a person needs to help.
pub async fn apply(context: &Context, owner: &str, objects: &[Object]) -> Applied {
    let mut applied = Applied::default();
    for object in objects {
        if !context.stores.has(object.kind) {
            if !applied.missing.contains(&object.kind) {
                applied.missing.push(object.kind);
            }
        } else if let Some(error) = context.memory.resting(object, Instant::now()) {
            applied.fail(object, error);
        } else if let Err(error) = apply_one(context, owner, object).await {
            context.memory.failed(object, &error, Instant::now());
            applied.fail(object, error);
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
            return Err(Error::NotOurs {
                kind: kind.name(),
                name,
            });
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
            kind: kind.name(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_stops_those_who_need_it_alone() {
        let names = Names::new("default", "chat");
        let stops = |kind: Kind, name: &str| {
            let error = Error::NotOurs {
                kind: kind.name(),
                name: name.to_owned(),
            };
            let applied = Applied {
                errors: vec![error],
                failed: vec![(kind, name.to_owned())],
                ..Applied::default()
            };
            (
                applied.lets_gateways_go(&names, "0123456789").is_err(),
                applied.lets_servers_go(&names).is_err(),
            )
        };
        assert_eq!(stops(Kind::Deployment, "chat-gateway-0123456789"), (true, false));
        assert_eq!(stops(Kind::ConfigMap, "chat-gateway-0123456789"), (true, false));
        assert_eq!(stops(Kind::Service, "chat"), (true, false));
        assert_eq!(stops(Kind::StatefulSet, "chat-nats"), (false, true));
        assert_eq!(stops(Kind::ConfigMap, "chat-nats"), (false, true));
        for (kind, name) in [
            (Kind::Ingress, "chat"),
            (Kind::HttpRoute, "chat"),
            (Kind::Service, "chat-gateway"),
            (Kind::NetworkPolicy, "chat-gateway"),
            (Kind::ConfigMap, "chat-dashboards"),
        ] {
            assert_eq!(stops(kind, name), (false, false), "{kind:?} {name}");
        }
    }
}

//! The finalizer of clusters whose streams shall go with them: on those that need it and no others, and off when
//! [`crate::deletion`] says so. What is done meanwhile can be done again by another operator: all of it is read off the
//! objects.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams, PropagationPolicy},
    core::DeserializeGuard,
};
use serde_json::json;
use tracing::{error, info, warn};

use crate::{
    api::ChatCluster,
    apply,
    build::{self, Names, StreamDeletion},
    controller::Context,
    deletion::{self, Bounds, FINALIZER, Seen, Step, Wanted},
    dereference::{Observed, dereference},
    error::{Category, Error, is_not_found},
    events,
    kinds::Kind,
    prune, status,
    validate::validate,
    watch::Guarded,
};

/// After a step that failed.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The shortest time until a cluster is looked at again.
const SOON: Duration = Duration::from_secs(1);

/// Puts the finalizer on a cluster that needs it, and takes it off one that does not.
pub async fn ensure(context: &Context, cluster: &ChatCluster) -> Result<(), Error> {
    match (deletion::is_wanted(&cluster.spec), has_finalizer(cluster.meta())) {
        (true, false) => put(context, cluster).await,
        (false, true) => remove(context, cluster).await,
        _ => Ok(()),
    }
}

/// A cluster that is being deleted.
struct Deletion<'a> {
    context: &'a Context,
    cluster: &'a Guarded,
    observed: Observed,
    /// What makes the Job, or why nothing does.
    plan: Result<Plan, String>,
}

struct Plan {
    job: StreamDeletion,
    /// Time that gateways may take to end.
    leave: Duration,
}

/// Brings the deletion of a cluster a step further. Returns when to look again; `None`: when something changes.
pub async fn proceed(
    context: &Context,
    cluster: &Guarded,
    now: Timestamp,
) -> Result<Option<Duration>, Error> {
    let meta = cluster.meta();
    let (true, Some(since)) = (has_finalizer(meta), &meta.deletion_timestamp) else {
        // Kubernetes removes what it owned.
        return Ok(None);
    };
    let DeserializeGuard(read) = cluster;
    if let Ok(read) = read
        && !deletion::is_wanted(&read.spec)
    {
        return remove(context, cluster).await.map(|()| None);
    }
    let deletion = Deletion {
        context,
        cluster,
        observed: dereference(&context.stores, cluster),
        plan: match read {
            Ok(read) => plan(context, read).map_err(|error| error.to_string()),
            Err(error) => Err(format!("the object cannot be read: {error}")),
        },
    };
    let seen = deletion.see();
    let bounds = Bounds::new(&seen, since.0, context.stream_deletion_limit);
    let left = Duration::try_from(bounds.deadline.duration_since(now)).unwrap_or_default();
    let step = deletion::decide(&seen, bounds, now);
    let again = deletion.take(&step, left, now).await?;
    Ok(again.map(|again| again.min(left).max(SOON)))
}

fn plan(context: &Context, cluster: &ChatCluster) -> Result<Plan, Error> {
    let valid = validate(cluster, &context.defaults)?;
    Ok(Plan {
        job: build::build_stream_deletion(&valid)?,
        leave: build::grace_period(&valid),
    })
}

impl Deletion<'_> {
    fn see(&self) -> Seen {
        let wanted = self.plan.as_ref().map(|plan| Wanted {
            job: &plan.job.job,
            leave: plan.leave,
        });
        deletion::see(
            self.cluster.finalizers(),
            &self.observed,
            wanted.map_err(Clone::clone),
        )
    }

    /// Carries a step out, and says in the status what is waited for. `left` is the time until streams are given up.
    async fn take(&self, step: &Step, left: Duration, now: Timestamp) -> Result<Option<Duration>, Error> {
        let (reason, told, carried_out) = match step {
            Step::Deleted => return self.deleted().await,
            Step::GiveUp(why) => return self.give_up(why).await,
            Step::EndGateways(why) => ("EndingGateways", why.as_str(), self.end_gateways().await),
            Step::MakeJob => (
                "DeletingStreams",
                "a Job is made that deletes the streams",
                self.make_job().await,
            ),
            Step::Wait(why) => ("DeletingStreams", why.as_str(), Ok(())),
        };
        match carried_out {
            Ok(()) => {
                self.report(reason, told, now).await?;
                Ok(Some(Duration::MAX))
            }
            // Nothing can be made there any more, and nobody is kept waiting for it.
            Err(error) if error.category() == Category::NamespaceTerminating => {
                self.give_up("the namespace is being deleted").await
            }
            Err(error) if left.is_zero() => self.give_up(&error.to_string()).await,
            Err(error) => {
                warn!(%error, "the deletion of streams does not get on");
                self.report(reason, &error.to_string(), now).await?;
                Ok(Some(TRY_AGAIN))
            }
        }
    }

    /// A Deployment that is deleted so stays until its gateways have ended.
    async fn end_gateways(&self) -> Result<(), Error> {
        let there = deletion::gateway_deployments(&self.observed);
        for deployment in there.filter(|object| object.metadata.deletion_timestamp.is_none()) {
            self.delete(Kind::Deployment, deployment, PropagationPolicy::Foreground)
                .await?;
        }
        Ok(())
    }

    async fn make_job(&self) -> Result<(), Error> {
        let Ok(plan) = &self.plan else {
            return Ok(());
        };
        for former in self.observed.of(Kind::Job) {
            self.delete(Kind::Job, former, PropagationPolicy::Background)
                .await?;
        }
        let uid = self.cluster.uid().unwrap_or_default();
        let applied = apply::apply(self.context, &uid, &plan.job.objects).await;
        applied.errors.into_iter().next().map_or(Ok(()), Err)
    }

    async fn delete(
        &self,
        kind: Kind,
        object: &DynamicObject,
        propagation: PropagationPolicy,
    ) -> Result<(), Error> {
        prune::delete(self.context, kind, object, propagation).await
    }

    async fn deleted(&self) -> Result<Option<Duration>, Error> {
        let streams = self.streams();
        info!(%streams, "the streams of a deleted cluster are deleted");
        let note = format!("the streams {streams} on the external NATS are deleted");
        events::publish_streams_deleted(&self.context.recorder, self.cluster, &note).await;
        remove(self.context, self.cluster).await?;
        self.context.metrics.streams_ended(true);
        Ok(None)
    }

    async fn give_up(&self, why: &str) -> Result<Option<Duration>, Error> {
        let streams = self.streams();
        error!(%streams, why, "streams of a deleted cluster may be left; given up");
        let note = format!(
            "the streams {streams} may be left on the external NATS: {why}; \
             `natter-gateway delete-streams` or `nats stream rm` deletes them"
        );
        events::publish_streams_left(&self.context.recorder, self.cluster, &note).await;
        remove(self.context, self.cluster).await?;
        self.context.metrics.streams_ended(false);
        Ok(None)
    }

    fn streams(&self) -> String {
        let namespace = self.cluster.namespace().unwrap_or_default();
        Names::new(&namespace, &self.cluster.name_any()).streams()
    }

    /// An object that cannot be read has no status that could be written again.
    async fn report(&self, reason: &'static str, told: &str, now: Timestamp) -> Result<(), Error> {
        let DeserializeGuard(Ok(cluster)) = self.cluster else {
            return Ok(());
        };
        let status = status::deleting(cluster, reason, told, &Time(now));
        status::write(self.context, cluster, &status).await?;
        events::publish_changes(&self.context.recorder, cluster, &status.conditions).await;
        Ok(())
    }
}

fn has_finalizer(meta: &ObjectMeta) -> bool {
    position(meta).is_some()
}

fn position(meta: &ObjectMeta) -> Option<usize> {
    let finalizers = meta.finalizers.as_ref()?;
    finalizers.iter().position(|finalizer| finalizer == FINALIZER)
}

/// Each patch tests what it was made for: a list that somebody else changed meanwhile is looked at again first.
async fn put(context: &Context, cluster: &impl Resource<DynamicType = ()>) -> Result<(), Error> {
    let change = match &cluster.meta().finalizers {
        None => json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
        ]),
        Some(finalizers) => json!([
            {"op": "test", "path": "/metadata/finalizers", "value": finalizers},
            {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER},
        ]),
    };
    patch(context, cluster, change).await
}

async fn remove(context: &Context, cluster: &impl Resource<DynamicType = ()>) -> Result<(), Error> {
    let Some(position) = position(cluster.meta()) else {
        return Ok(());
    };
    let path = format!("/metadata/finalizers/{position}");
    let change = json!([
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]);
    patch(context, cluster, change).await
}

async fn patch(
    context: &Context,
    cluster: &impl Resource<DynamicType = ()>,
    change: serde_json::Value,
) -> Result<(), Error> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let failed = |source| Error::Action {
        what: "write the finalizers of ChatCluster",
        name: name.clone(),
        source,
    };
    // Of what cannot be read, the metadata can.
    let api: Api<ChatCluster> = Api::namespaced(context.client.clone(), &namespace);
    let change = serde_json::from_value(change).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let patched = api
        .patch_metadata(&name, &PatchParams::default(), &Patch::Json::<()>(change))
        .await;
    match patched {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        // Somebody else wrote the list meanwhile: that comes by the watch, and is looked at again.
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(()),
        Err(source) => Err(failed(source)),
    }
}

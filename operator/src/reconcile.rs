//! One reconcile, as a pipeline: dereference, validate, build, apply, prune, restart, status. Each step is a module of its name; those
//! that decide have no client, those that have a client do not decide.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, core::DeserializeGuard};
use tracing::{Instrument, info_span};

use crate::{
    api::ChatCluster,
    apply, build,
    controller::Context,
    dereference::{Observed, dereference},
    error::Error,
    events, progress, prune, restart,
    status::{self, Current, Outcome},
    validate::{Invalid, validate},
    watch::Guarded,
};

/// Brings one cluster a step further. What failed is in its status as well as in the answer.
pub async fn reconcile(cluster: &Guarded, context: &Context) -> Result<(), Error> {
    let meta = cluster.meta();
    let span = info_span!(
        "reconcile",
        cluster = meta.name.as_deref().unwrap_or_default(),
        namespace = meta.namespace.as_deref().unwrap_or_default(),
        generation = meta.generation.unwrap_or_default(),
    );
    let DeserializeGuard(cluster) = cluster;
    async {
        let cluster = cluster
            .as_ref()
            .map_err(|error| Invalid::Unreadable(error.to_string()))?;
        // Kubernetes removes what a cluster owned.
        if cluster.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let observed = info_span!("dereference").in_scope(|| dereference(&context.stores, cluster));
        match bring_about(cluster, &observed, context).await {
            Ok(()) => Ok(()),
            Err(error) => report_only(cluster, &observed, context, error).await,
        }
    }
    .instrument(span)
    .await
}

/// The steps behind reading. Fails early only where nothing could be built.
async fn bring_about(cluster: &ChatCluster, observed: &Observed, context: &Context) -> Result<(), Error> {
    let valid = info_span!("validate").in_scope(|| validate(cluster, &context.defaults))?;
    let built = info_span!("build").in_scope(|| build::build(&valid))?;
    let apply = apply::apply(context, &valid.owner.uid, &built.objects);
    let mut applied = apply.instrument(info_span!("apply")).await;
    let progress = progress::progress(&valid, &built, observed);
    context
        .metrics
        .clusters
        .count(cluster, progress.desired, progress.ready);
    if applied.errors.is_empty() {
        let unwanted = prune::unwanted(observed, &built, &progress);
        let pruned = prune::prune(context, &unwanted).instrument(info_span!("prune"));
        applied.errors.extend(pruned.await.err());
        if let Some(server) = restart::next(observed, &built) {
            let restarted = restart::restart(context, server).instrument(info_span!("restart"));
            applied.errors.extend(restarted.await.err());
        }
    }
    let outcome = Outcome {
        observed,
        current: Some(Current {
            cluster: &valid,
            built: &built,
            progress: &progress,
        }),
        missing: &applied.missing,
        errors: &applied.errors,
        defaults: &context.defaults,
    };
    report(cluster, &outcome, context).await?;
    applied.errors.into_iter().next().map_or(Ok(()), Err)
}

/// Says in the status why nothing could be built.
async fn report_only(
    cluster: &ChatCluster,
    observed: &Observed,
    context: &Context,
    error: Error,
) -> Result<(), Error> {
    if matches!(error, Error::Invalid(_) | Error::Build(_)) {
        let outcome = Outcome {
            observed,
            current: None,
            missing: &[],
            errors: std::slice::from_ref(&error),
            defaults: &context.defaults,
        };
        report(cluster, &outcome, context).await?;
    }
    Err(error)
}

async fn report(cluster: &ChatCluster, outcome: &Outcome<'_>, context: &Context) -> Result<(), Error> {
    let status = status::compute(cluster, outcome, &Time(Timestamp::now()));
    async {
        status::write(context, cluster, &status).await?;
        events::publish_changes(&context.recorder, cluster, &status.conditions).await;
        Ok(())
    }
    .instrument(info_span!("status"))
    .await
}

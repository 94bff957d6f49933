//! One reconcile, as a pipeline: dereference, validate, build, ask, steer, tokens, apply, act, prune, restart, status. Each step
//! is a module of its name, but for asking, which is in `gateways`; those that decide have no client, those that have a client
//! do not decide.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Resource, ResourceExt, core::DeserializeGuard};
use tracing::{Instrument, info_span};

use crate::{
    act::{Scene, act},
    api::ChatCluster,
    apply,
    build::{self, Built},
    controller::Context,
    dereference::{Observed, dereference},
    error::Error,
    events, finalize,
    fleet::{self, Fleet},
    progress, prune, restart,
    status::{self, Current, Outcome},
    steer::steer,
    token::Period,
    validate::{Invalid, ValidCluster, validate},
    watch::Guarded,
};

/// Brings one cluster a step further. What failed is in its status as well as in the answer.
/// Returns when to look again; `None`: when something changes.
pub async fn reconcile(cluster: &Guarded, context: &Context) -> Result<Option<Duration>, Error> {
    let meta = cluster.meta();
    let span = info_span!(
        "reconcile",
        cluster = meta.name.as_deref().unwrap_or_default(),
        namespace = meta.namespace.as_deref().unwrap_or_default(),
        generation = meta.generation.unwrap_or_default(),
    );
    async {
        if meta.deletion_timestamp.is_some() {
            return finalize::proceed(context, cluster, Timestamp::now()).await;
        }
        let DeserializeGuard(cluster) = cluster;
        let cluster = cluster
            .as_ref()
            .map_err(|error| Invalid::Unreadable(error.to_string()))?;
        let observed = info_span!("dereference").in_scope(|| dereference(&context.stores, cluster));
        match bring_about(cluster, &observed, context).await {
            Ok(look_again) => Ok(Some(look_again)),
            Err(error) => Err(report_only(cluster, &observed, context, error).await),
        }
    }
    .instrument(span)
    .await
}

/// The steps behind reading. Fails early only where nothing could be built.
async fn bring_about(
    cluster: &ChatCluster,
    observed: &Observed,
    context: &Context,
) -> Result<Duration, Error> {
    // Before there can be a stream.
    let finalizer = finalize::ensure(context, cluster).await;
    let valid = info_span!("validate").in_scope(|| validate(cluster, &context.defaults))?;
    let mut built = info_span!("build").in_scope(|| build::build(&valid))?;
    let gateways = look_at_gateways(&valid, &built, observed, context)
        .instrument(info_span!("ask"))
        .await;
    let fleet = &gateways.fleet;
    let memory = status::memory(cluster);
    let steering = info_span!("steer").in_scope(|| steer(fleet, &valid.course, &memory, gateways.now));
    built.set_replicas(steering.replicas);
    let tokens = context
        .token_secrets
        .ensure(context, &valid, &built.names, gateways.doubt, gateways.now)
        .instrument(info_span!("tokens"))
        .await;
    let apply = apply::apply(context, &valid.owner.uid, &built.objects);
    let mut applied = apply.instrument(info_span!("apply")).await;
    applied
        .errors
        .extend([finalizer, tokens].into_iter().filter_map(Result::err));
    let progress = progress::progress(&valid, &built, observed, steering.sizing.desired);
    context
        .metrics
        .clusters
        .count(cluster, progress.desired, progress.ready);
    context
        .metrics
        .clusters
        .steered(cluster, steering.sizing.held.is_some(), &steering.stage);
    if applied.errors.is_empty() {
        let scene = Scene {
            context,
            cluster: &valid,
            names: &built.names,
            pods: &observed.pods,
            token: &gateways.token,
            now: gateways.now,
        };
        let acted = act(scene, &steering.actions).instrument(info_span!("act"));
        applied.errors.extend(acted.await.err());
        let unwanted = prune::unwanted(observed, &built, &steering.removed);
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
            fleet,
            steering: &steering,
        }),
        missing: &applied.missing,
        errors: &applied.errors,
        defaults: &context.defaults,
    };
    report(cluster, &outcome, context).await?;
    applied
        .errors
        .into_iter()
        .next()
        .map_or(Ok(steering.look_again), Err)
}

/// Says in the status why nothing could be built.
async fn report_only(cluster: &ChatCluster, observed: &Observed, context: &Context, error: Error) -> Error {
    if matches!(error, Error::Invalid(_) | Error::Build(_)) {
        let outcome = Outcome {
            observed,
            current: None,
            missing: &[],
            errors: std::slice::from_ref(&error),
            defaults: &context.defaults,
        };
        if let Err(unreported) = report(cluster, &outcome, context).await {
            return unreported;
        }
    }
    error
}

/// The gateways as they are, and as they say they are.
struct Seen {
    fleet: Fleet,
    token: String,
    now: Timestamp,
    /// Whether a gateway acts as if its tokens were not there.
    doubt: bool,
}

async fn look_at_gateways(
    cluster: &ValidCluster,
    built: &Built,
    observed: &Observed,
    context: &Context,
) -> Seen {
    let (uid, now) = (&cluster.owner.uid, Timestamp::now());
    let token = context.token_key.token(uid, Period::of(now));
    let is_gateway = |pod: &&Arc<Pod>| {
        pod.labels()
            .get(build::COMPONENT)
            .is_some_and(|part| part == build::GATEWAY)
    };
    let pods: Vec<_> = observed.pods.iter().filter(is_gateway).cloned().collect();
    let round = context.gateways.ask(uid, &pods, &token).await.unwrap_or_default();
    let fleet = fleet::observe(observed, &built.revision, |pod| {
        // Nobody writes the configuration of a former revision any more.
        let is_current = pod.labels().get(build::REVISION) == Some(&built.revision);
        let config = is_current.then_some(built.config_hash.as_str());
        context.gateways.sample(pod, config)
    });
    let doubt = round.refused > 0 || fleet.gateways().any(|gateway| !gateway.running);
    Seen {
        fleet,
        token,
        now,
        doubt,
    }
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

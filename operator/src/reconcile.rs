//! One reconcile, as a pipeline: dereference, validate, build, ask, steer, tokens, apply, act, prune, restart, status. Each step
//! is a module of its name, but for asking, which is in `gateways`; those that decide have no client, those that have a client
//! do not decide.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Resource, ResourceExt, core::DeserializeGuard};
use tokio::time::Instant;
use tracing::{Instrument, info_span};

use crate::{
    act::{Scene, act},
    api::ChatCluster,
    apply::{self, Applied},
    build::{self, Built},
    controller::{Context, reference},
    dereference::{Observed, dereference},
    error::Error,
    events, finalize,
    fleet::{self, Action, Fleet},
    pods, progress, prune, restart,
    rollout::Stage,
    status::{self, Current, Outcome},
    steer::{Steering, steer},
    token::Period,
    validate::{Invalid, ValidCluster, validate},
    watch::Guarded,
};

/// What a reconcile came to that got to its end.
#[derive(Debug)]
pub struct Round {
    /// When to look again; `None`: after long, unless something changes.
    pub look_again: Option<Duration>,
    /// What could not be done; the rest was.
    pub failure: Option<Error>,
}

/// Brings one cluster a step further. What failed is in its status as well as in the answer.
pub async fn reconcile(cluster: &Guarded, context: &Context) -> Result<Round, Error> {
    let meta = cluster.meta();
    let span = info_span!(
        "reconcile",
        cluster = meta.name.as_deref().unwrap_or_default(),
        namespace = meta.namespace.as_deref().unwrap_or_default(),
        generation = meta.generation.unwrap_or_default(),
    );
    async {
        if meta.deletion_timestamp.is_some() {
            let look_again = finalize::proceed(context, cluster, Timestamp::now()).await?;
            return Ok(Round {
                look_again,
                failure: None,
            });
        }
        let DeserializeGuard(cluster) = cluster;
        let cluster = cluster
            .as_ref()
            .map_err(|error| Invalid::Unreadable(error.to_string()))?;
        let observed = info_span!("dereference").in_scope(|| dereference(&context.stores, cluster));
        match bring_about(cluster, &observed, context).await {
            Ok(round) => Ok(round),
            Err(error) => Err(report_only(cluster, &observed, context, error).await),
        }
    }
    .instrument(span)
    .await
}

/// The steps behind reading. Fails early only where nothing could be built.
async fn bring_about(cluster: &ChatCluster, observed: &Observed, context: &Context) -> Result<Round, Error> {
    // Before there can be a stream.
    let finalizer = finalize::ensure(context, cluster).await;
    let valid = info_span!("validate").in_scope(|| validate(cluster, &context.defaults))?;
    let mut built = info_span!("build").in_scope(|| build::build(&valid))?;
    let gateways = look_at_gateways(&valid, &built, observed, context)
        .instrument(info_span!("ask"))
        .await;
    let fleet = &gateways.fleet;
    let memory = status::memory(cluster, &built.revision);
    let mut steering = info_span!("steer").in_scope(|| steer(fleet, &valid.course, &memory, gateways.now));
    built.set_replicas(steering.replicas);
    let tokens = context
        .token_secrets
        .ensure(context, &valid, &built.names, gateways.doubt, gateways.now)
        .instrument(info_span!("tokens"))
        .await;
    let apply = apply::apply(context, &valid.owner.uid, &built.objects);
    let mut applied = apply.instrument(info_span!("apply")).await;
    let lasting = context.backoff.is_lasting(&reference(cluster), Instant::now());
    let stopped = applied.lets_gateways_go(&built.names, &built.revision);
    let stopped = stopped.err().or(tokens.as_ref().err());
    let may_go = stopped.is_none();
    if let Some(error) = stopped.filter(|error| !may_pass(error, lasting) && !steering.stage.is_done()) {
        steering.stage = Stage::Stalled {
            reason: error.category().reason(),
            message: error.to_string(),
        };
    }
    let server = restart::next(observed, &built).filter(|_| applied.lets_servers_go(&built.names).is_ok());
    applied
        .errors
        .extend([finalizer, tokens].into_iter().filter_map(Result::err));
    let progress = progress::progress(&valid, &built, observed, steering.sizing.desired);
    let metrics = &context.metrics.clusters;
    metrics.count(cluster, progress.desired, progress.ready);
    metrics.steered(cluster, steering.sizing.held.is_some(), &steering.stage);
    let work = Work {
        scene: Scene {
            context,
            cluster: &valid,
            names: &built.names,
            pods: &observed.pods,
            token: &gateways.token,
            now: gateways.now,
        },
        steering: &steering,
        may_go,
        whole: applied.errors.is_empty(),
        server,
    };
    let done = work.carry_out(observed, &built).await;
    applied.errors.extend(done.errors);
    if !done.shed {
        // What no gateway heard is not remembered as a shed.
        steering.sizing.memory.shed = memory.shed;
    }
    let current = Current {
        cluster: &valid,
        built: &built,
        progress: &progress,
        fleet,
        steering: &steering,
    };
    conclude(cluster, observed, context, current, applied, lasting).await
}

/// Whether a person need not hear of it yet. `lasting`: reconciles have met failures for long that should have passed.
fn may_pass(error: &Error, lasting: bool) -> bool {
    error.is_transient() && !lasting
}

/// Tells what came of it, and says when to go on.
async fn conclude(
    cluster: &ChatCluster,
    observed: &Observed,
    context: &Context,
    current: Current<'_>,
    applied: Applied,
    lasting: bool,
) -> Result<Round, Error> {
    let transient = applied.errors.iter().any(Error::is_transient);
    let now = Instant::now();
    context.backoff.note(&reference(cluster), transient, now);
    let errors = applied.errors.into_iter();
    let (passing, lasting): (Vec<_>, Vec<_>) = errors.partition(|error| may_pass(error, lasting));
    let look_again = Some(current.steering.look_again);
    let outcome = Outcome {
        observed,
        current: Some(current),
        missing: &applied.missing,
        errors: &lasting,
        passing: passing.first(),
        defaults: &context.defaults,
    };
    report(cluster, &outcome, context).await?;
    Ok(Round {
        look_again,
        failure: lasting.into_iter().chain(passing).next(),
    })
}

/// What there is to do about pods and objects of before.
struct Work<'a> {
    scene: Scene<'a>,
    steering: &'a Steering,
    /// Everything is there that gateways need which take the place of others.
    may_go: bool,
    /// Everything was applied.
    whole: bool,
    /// The NATS server to restart.
    server: Option<&'a Pod>,
}

/// What came of it.
struct Done {
    errors: Vec<Error>,
    /// Every gateway that was to shed heard of it.
    shed: bool,
}

impl Work<'_> {
    /// Acts, prunes and restarts; what failed is in the answer, and keeps nothing back that does not need it.
    async fn carry_out(self, observed: &Observed, built: &Built) -> Done {
        let context = self.scene.context;
        // To let a gateway stay needs nothing that failed.
        let keeps = |action: &&Action| matches!(action, Action::Accept { .. } | Action::Pause { .. });
        let actions = self.steering.actions.iter();
        let actions: Vec<_> = actions
            .filter(|action| self.may_go || keeps(action))
            .cloned()
            .collect();
        let is_shed = |action: &&Action| matches!(action, Action::Shed { .. });
        let sheds = self.steering.actions.iter().filter(is_shed).count();
        let acted = act(self.scene, &actions).instrument(info_span!("act")).await;
        let removed = if self.may_go && acted.result.is_ok() {
            self.steering.removed.as_slice()
        } else {
            &[]
        };
        let mut unwanted = prune::unwanted(observed, built, removed);
        // What takes the place of something else must be there before that goes.
        unwanted.retain(|(_, object)| self.whole || object.labels().contains_key(build::REVISION));
        let pruned = prune::prune(context, &unwanted).instrument(info_span!("prune"));
        let mut results = vec![acted.result, pruned.await];
        if let Some(server) = self.server {
            let restarted = restart::restart(context, server).instrument(info_span!("restart"));
            results.push(restarted.await);
        }
        Done {
            errors: results.into_iter().filter_map(Result::err).collect(),
            shed: acted.sheds == sheds,
        }
    }
}

/// Says in the status why nothing could be built.
async fn report_only(cluster: &ChatCluster, observed: &Observed, context: &Context, error: Error) -> Error {
    if matches!(error, Error::Invalid(_) | Error::Build(_)) {
        let outcome = Outcome {
            observed,
            current: None,
            missing: &[],
            errors: std::slice::from_ref(&error),
            passing: None,
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
    /// Whether a gateway or a NATS server acts as if its Secret were not there.
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
    let pods = pods::of_component(&observed.pods, build::GATEWAY);
    let refused = context.gateways.ask(uid, &pods, &token).await;
    let fleet = fleet::observe(observed, &built.revision, |pod| {
        // Nobody writes the configuration of a former revision any more.
        let is_current = pod.labels().get(build::REVISION) == Some(&built.revision);
        let config = is_current.then_some(built.config_hash.as_str());
        context.gateways.sample(pod, config)
    });
    let doubt = refused || observed.pods.iter().any(|pod| pods::may_lack_secret(pod));
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

//! The controller: which clusters to reconcile and when. One bad cluster never holds the others up: each has its own turn, and
//! one that failed waits longer each time.

mod backoff;
mod deleted;

use std::{future, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        controller::{Action, Config, Controller},
        events::{Recorder, Reporter},
        reflector::ObjectRef,
        watcher,
    },
};
use tokio::time::sleep;
use tracing::{error, info};

pub use self::backoff::Backoff;
use crate::{
    apply::Memory,
    error::Error,
    gateways::Gateways,
    metrics::Metrics,
    reconcile,
    token::{Secrets, TokenKey},
    validate::OperatorDefaults,
    watch::{self, ClusterRef, Guarded, Stores},
};

/// Clusters that are reconciled at the same time.
const CONCURRENCY: u16 = 8;
/// Changes of one cluster within this time are reconciled once.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// A cluster that is being deleted is looked at again after this time though nothing happened, give or take a fifth. Any other
/// says itself when, which is seconds.
const LOOK_AGAIN: Duration = Duration::from_mins(10);

/// Time for what is under way to end; what then still runs is cut off.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(3);

/// What every reconcile needs.
pub struct Context {
    pub client: Client,
    pub stores: Stores,
    pub memory: Memory,
    pub recorder: Recorder,
    pub metrics: Metrics,
    pub defaults: OperatorDefaults,
    pub gateways: Gateways,
    pub token_key: TokenKey,
    pub token_secrets: Secrets,
    /// Time after which streams that shall be deleted are given up.
    pub stream_deletion_limit: Duration,
    /// Clusters whose reconcile failed.
    pub backoff: Backoff,
}

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// The only namespace to look at; `None`: all.
    pub namespace: Option<String>,
    /// Names this operator in events.
    pub identity: String,
    pub defaults: OperatorDefaults,
    /// Makes the tokens of control calls.
    pub token_key: TokenKey,
    /// Time after which streams that shall be deleted are given up.
    pub stream_deletion_limit: Duration,
}

/// Reconciles until `stop` resolves and what is under way has ended.
pub async fn run(
    client: Client,
    settings: ControllerSettings,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let stop = stop.shared();
    // They end with the controller.
    let (stores, changes, _watches) = watch::start(&client, settings.namespace.as_deref());
    let reporter = Reporter {
        controller: "natter-operator".to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        memory: Memory::default(),
        gateways: Gateways::new()?,
        token_key: settings.token_key,
        token_secrets: Secrets::default(),
        stream_deletion_limit: settings.stream_deletion_limit,
        backoff: Backoff::default(),
        defaults: settings.defaults,
        metrics,
        stores,
        client: client.clone(),
    });
    // A reconcile that knows only half would make again what is there.
    context.metrics.watches_ready(false);
    tokio::select! {
        ready = context.stores.ready() => ready?,
        () = stop.clone() => return Ok(()),
    }
    context.metrics.watches_ready(true);
    info!("watches are ready");
    let api: Api<Guarded> = match &settings.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let deletions = tokio::spawn(deleted::watch(api.clone(), context.clone()));
    let (clusters, kinds) = changes.streams();
    let controller = Controller::new(api, watcher::Config::default())
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .reconcile_on(clusters)
        .reconcile_all_on(kinds)
        .graceful_shutdown_on(stop.clone())
        .run(
            reconcile_one,
            |cluster, failure, context| on_error(&cluster, failure, &context),
            context,
        )
        .for_each(|_| future::ready(()));
    tokio::select! {
        () = controller => {}
        // What hangs in a network that is split must not outlast the lease.
        () = async { stop.await; sleep(END_TIMEOUT).await } => {}
    }
    deletions.abort();
    Ok(())
}

async fn reconcile_one(cluster: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    context.metrics.clusters.looked_at(&*cluster);
    let measured = context.metrics.reconcile();
    let result = reconcile::reconcile(&cluster, &context).await;
    let failure = match &result {
        Ok(round) => round.failure.as_ref(),
        Err(error) => Some(error),
    };
    measured.end(failure.map(Error::category));
    let round = result?;
    let again = round.look_again.map_or_else(look_again, jittered);
    let reference = reference(&*cluster);
    let Some(failure) = round.failure else {
        context.metrics.clusters.reconciled(&*cluster);
        context.backoff.reset(&reference);
        return Ok(Action::requeue(again));
    };
    // The rest of it goes on, and so does what else there is to do.
    let category = failure.category();
    error!(cluster = %reference, category = category.reason(), error = %failure, "reconcile failed in part");
    if category.waits_for_change() {
        return Ok(Action::await_change());
    }
    let wait = context.backoff.next(&reference);
    Ok(Action::requeue(again.min(wait)))
}

fn on_error(cluster: &Guarded, failure: &Error, context: &Context) -> Action {
    let category = failure.category();
    let reference = reference(cluster);
    error!(cluster = %reference, category = category.reason(), error = %failure, "reconcile failed");
    if category.waits_for_change() {
        return Action::await_change();
    }
    Action::requeue(context.backoff.next(&reference))
}

/// Names a cluster, whether it can be read or not.
pub fn reference(cluster: &impl Resource<DynamicType = ()>) -> ClusterRef {
    let reference = ObjectRef::new(&cluster.name_any());
    match &cluster.meta().namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

fn look_again() -> Duration {
    jittered(LOOK_AGAIN)
}

/// Spread, so that many clusters do not come in step.
fn jittered(after: Duration) -> Duration {
    after.mul_f64(0.8 + 0.4 * fastrand::f64())
}

//! A managed NATS: a `StatefulSet` of 1, 3 or 5 servers with `JetStream`.
//!
//! Restarts go one server at a time and wait for health ([`crate::restart`]): a restarted server counts as started only when
//! all its streams have caught up (`/healthz`), and a server that shall go first sends its clients away in lame-duck mode.

mod stateful_set;
mod users;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceSpec};

pub(super) use self::users::environment as gateway_environment;
pub use self::users::{ADMIN_KEY, GATEWAY_KEY};
use super::{
    BuildError, Names, Object, gateway,
    labels::{self, NATS},
    object::metadata,
    service::{headless, port},
    short_hash,
};
use crate::{
    kinds::Kind,
    validate::{ValidCluster, ValidNats},
};

/// For gateways.
pub(super) const CLIENT_PORT: i32 = 4222;
/// Between servers.
pub(super) const ROUTE_PORT: i32 = 6222;
/// Health and monitoring.
pub(super) const MONITOR_PORT: i32 = 8222;
/// Seconds from lame-duck mode until the first client is sent away, and over which all are.
const LAME_DUCK_GRACE_SECONDS: i64 = 10;
const LAME_DUCK_DURATION_SECONDS: i64 = 30;

pub(super) fn build(
    cluster: &ValidCluster,
    nats: &ValidNats,
    names: &Names,
) -> Result<Vec<Object>, BuildError> {
    let config = config(nats, names);
    let mut objects = vec![
        Object::of(Kind::ConfigMap, &config_map(cluster, names, &config))?,
        Object::of(Kind::Service, &clients(cluster, names))?,
        Object::of(Kind::Service, &servers(cluster, names))?,
        Object::of(
            Kind::StatefulSet,
            &stateful_set::build(cluster, nats, names, &short_hash(&config)),
        )?,
    ];
    if nats.spec.replicas > 1 {
        let budget = gateway::budget(cluster, NATS, &names.nats(), &labels::selector(cluster, NATS));
        objects.push(Object::of(Kind::PodDisruptionBudget, &budget)?);
    }
    Ok(objects)
}

/// The servers that gateways connect to: those that are ready.
fn clients(cluster: &ValidCluster, names: &Names) -> Service {
    Service {
        metadata: metadata(cluster, NATS, names.nats()),
        spec: Some(ServiceSpec {
            selector: Some(labels::selector(cluster, NATS)),
            ports: Some(vec![port("nats", CLIENT_PORT, CLIENT_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Every server by its name, also before it is ready: servers must find each other to become so.
fn servers(cluster: &ValidCluster, names: &Names) -> Service {
    let ports = [
        ("nats", CLIENT_PORT),
        ("cluster", ROUTE_PORT),
        ("monitor", MONITOR_PORT),
    ]
    .map(|(name, number)| port(name, number, number));
    headless(cluster, NATS, &names.nats_headless(), ports.into())
}

fn config_map(cluster: &ValidCluster, names: &Names, config: &str) -> ConfigMap {
    ConfigMap {
        metadata: metadata(cluster, NATS, names.nats()),
        data: Some(BTreeMap::from([("nats.conf".to_owned(), config.to_owned())])),
        ..ConfigMap::default()
    }
}

/// The servers' configuration; `$POD_NAME` is a variable of each.
fn config(nats: &ValidNats, names: &Names) -> String {
    let mut text = format!(
        "server_name: $POD_NAME\n\
         listen: 0.0.0.0:{CLIENT_PORT}\n\
         http: 0.0.0.0:{MONITOR_PORT}\n\
         pid_file: /run/nats/nats.pid\n\
         lame_duck_grace_period: {LAME_DUCK_GRACE_SECONDS}s\n\
         lame_duck_duration: {LAME_DUCK_DURATION_SECONDS}s\n\
         jetstream {{\n  store_dir: /data\n  max_file_store: {}\n  max_memory_store: {}\n}}\n",
        nats.file_store, nats.memory_store
    );
    if nats.spec.replicas > 1 {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "cluster {{\n  name: {}\n  listen: 0.0.0.0:{ROUTE_PORT}\n  routes: [\n",
            names.nats()
        );
        for number in 0..nats.spec.replicas {
            let server = format!("{}-{number}.{}", names.nats(), names.host(&names.nats_headless()));
            let _ = writeln!(text, "    nats://{server}:{ROUTE_PORT}");
        }
        text.push_str("  ]\n}\n");
    }
    text + &users::authorization(&names.bus_prefix())
}

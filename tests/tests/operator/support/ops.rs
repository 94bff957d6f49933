//! Plays the ops port of a gateway where there is no node: an address of loopback for each pod, where `/control` answers as a
//! gateway does, behind the tokens of the Secret that the pod mounts. What it carries, a test says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::Api;
use kube::{Client, ResourceExt};
use natter_operator::build::{ACCEPTING, OPS_PORT, TOKEN_FILE};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Addresses that are tried: others of this machine may be listening on some.
const TRIES: u32 = 100;

/// A gateway as a test wants it to be, and what it was told.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
pub(crate) struct Played {
    pub(crate) connections: u64,
    pub(crate) connection_limit: u64,
    pub(crate) bus_up: bool,
    /// Durable namespaces that it cannot use, and why.
    pub(crate) namespaces: BTreeMap<String, String>,
    /// SHA-1 of the configuration file in force.
    pub(crate) config: Option<String>,
    /// Why it refused its last reload.
    pub(crate) config_error: Option<String>,
    /// Its answers do not arrive.
    pub(crate) silent: bool,
    /// Its connections stay while it drains, until a test takes them away.
    pub(crate) stays: bool,
    pub(crate) cordoned: bool,
    pub(crate) draining: bool,
    pub(crate) told: Vec<Told>,
}

/// An order, and what was written on the pod when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) call: String,
    pub(crate) accepting: bool,
}

/// Ends when it is dropped.
pub(crate) struct OpsPort {
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Arc<Mutex<Played>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Port {
    gateway: Arc<Mutex<Played>>,
    pods: Api<Pod>,
    pod: String,
    secrets: Api<Secret>,
    secret: String,
}

impl Default for Played {
    fn default() -> Self {
        Self {
            connections: 0,
            connection_limit: 1_000_000,
            bus_up: true,
            namespaces: BTreeMap::new(),
            config: None,
            config_error: None,
            silent: false,
            stays: false,
            cordoned: false,
            draining: false,
            told: Vec::new(),
        }
    }
}

impl Played {
    /// Names of what it was told.
    pub(crate) fn calls(&self) -> Vec<&str> {
        self.told.iter().map(|told| told.call.as_str()).collect()
    }

    fn follow(&mut self, call: &str) {
        match call {
            "cordon" => self.cordoned = true,
            "uncordon" => (self.cordoned, self.draining) = (false, false),
            "drain" => {
                (self.cordoned, self.draining) = (true, true);
                if !self.stays {
                    self.connections = 0;
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> Value {
        json!({
            "config": self.config, "config_error": self.config_error, "namespaces": self.namespaces, "cordoned": self.cordoned, "draining": self.draining,
            "empty": self.draining && self.connections == 0,
            "connections": self.connections, "connection_limit": self.connection_limit,
            "shedding": 0, "bus_up": self.bus_up, "usage": null,
        })
    }
}

impl OpsPort {
    pub(crate) async fn start(client: &Client, pod: &Pod) -> Result<Self> {
        let namespace = pod.namespace().unwrap_or_default();
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let secret = volumes
            .filter_map(|volume| volume.secret.as_ref()?.secret_name.clone())
            .find(|name| name.ends_with("-control"));
        let port = Port {
            gateway: Arc::default(),
            pods: Api::namespaced(client.clone(), &namespace),
            pod: pod.name_any(),
            secrets: Api::namespaced(client.clone(), &namespace),
            secret: secret.context("the pod mounts no tokens")?,
        };
        let (listener, address) = listen().await?;
        let gateway = Arc::clone(&port.gateway);
        let router = Router::new()
            .route("/control/state", get(state))
            .route("/control/{call}", post(order))
            .with_state(port);
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            gateway,
            task,
        })
    }
}

impl Drop for OpsPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The port is fixed, as it is in pods; so each pod has an address of its own.
async fn listen() -> Result<(TcpListener, Ipv4Addr)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    for _ in 0..TRIES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [_, high, middle, low] = (process.wrapping_mul(4099).wrapping_add(number)).to_be_bytes();
        // 127.0.0.0/16 is left to others.
        let address = Ipv4Addr::new(127, high | 1, middle, low);
        let port = u16::try_from(OPS_PORT)?;
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((address, port))).await {
            return Ok((listener, address));
        }
    }
    bail!("no address of loopback has port {OPS_PORT} free");
}

async fn state(State(port): State<Port>, headers: HeaderMap) -> Response {
    match port.admit(&headers).await {
        Ok(()) => Json(port.gateway.lock().state()).into_response(),
        Err(status) => status.into_response(),
    }
}

async fn order(State(port): State<Port>, Path(call): Path<String>, headers: HeaderMap) -> Response {
    if let Err(status) = port.admit(&headers).await {
        return status.into_response();
    }
    let pod = port.pods.get_metadata_opt(&port.pod).await.ok().flatten();
    let accepting = pod.is_some_and(|pod| pod.labels().get(ACCEPTING).is_some_and(|value| value == "true"));
    let mut gateway = port.gateway.lock();
    gateway.follow(&call);
    gateway.told.push(Told { call, accepting });
    (StatusCode::ACCEPTED, Json(gateway.state())).into_response()
}

impl Port {
    async fn admit(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        if self.gateway.lock().silent {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let sent = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let secret = self.secrets.get_opt(&self.secret).await.ok().flatten();
        let tokens = secret
            .and_then(|secret| secret.data?.remove(TOKEN_FILE))
            .and_then(|tokens| String::from_utf8(tokens.0).ok())
            .unwrap_or_default();
        if sent.is_some_and(|sent| tokens.lines().any(|token| token == sent)) {
            Ok(())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }
}

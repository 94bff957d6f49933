//! Metrics of one gateway: a registry of its own (tests run several gateways in a process) and the families.
//!
//! Families are small structs named after what they measure, handed to the part that measures it. Label
//! values come from enums by their `label()`, so every set is closed; rooms and users are no labels. What
//! workers count per delivery goes through [`WorkerCounters`] and reaches the shared counters once a turn.
//! `docs/observability.md` lists every family; a test compares.

mod api;
mod bus;
mod compression;
mod connections;
mod control;
mod family;
mod limits;
mod messages;
mod permissions;
mod presence;
mod process;
mod protocol;
mod proxies;
mod recovery;
mod revocations;
mod rooms;
mod tls;
mod tokens;
mod worker;

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};

pub use api::ApiMetrics;
pub use bus::{BusMetrics, HeadCheck};
pub use compression::CompressionMetrics;
pub use connections::{AcceptFailure, ConnectionMetrics, HandshakeFailure, Refusal};
pub use control::{ControlCall, ControlMetrics, ControlResult};
pub use family::{Family, LabeledCounter};
pub use limits::LimitMetrics;
pub use messages::{NamespaceMetrics, Offer, Source};
pub use permissions::{Decision, PermissionMetrics};
pub use presence::PresenceMetrics;
pub use process::{ConfigMetrics, FileMetrics, TraceMetrics};
pub use protocol::ProtocolMetrics;
pub use proxies::{ProxyKind, ProxyMetrics, ProxyOutcome};
pub use recovery::RecoveryMetrics;
pub use revocations::RevocationMetrics;
pub use rooms::RoomMetrics;
pub use tls::TlsMetrics;
pub use tokens::TokenMetrics;
pub use worker::WorkerCounters;

use family::Registrar;
use messages::MessageFamilies;

/// All families of one gateway; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    families: Arc<[Family]>,
    namespaces: Arc<Mutex<Vec<Arc<NamespaceMetrics>>>>,
    messages: MessageFamilies,
    pub connections: ConnectionMetrics,
    pub tls: TlsMetrics,
    pub protocol: ProtocolMetrics,
    pub rooms: RoomMetrics,
    pub recovery: RecoveryMetrics,
    pub presence: PresenceMetrics,
    pub compression: CompressionMetrics,
    pub bus: BusMetrics,
    pub api: ApiMetrics,
    pub proxies: ProxyMetrics,
    pub tokens: TokenMetrics,
    pub permissions: PermissionMetrics,
    pub limits: LimitMetrics,
    pub revocations: RevocationMetrics,
    pub config: ConfigMetrics,
    pub control: ControlMetrics,
    pub files: FileMetrics,
    pub traces: TraceMetrics,
}

impl Metrics {
    /// Fails only when two families have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let mut registrar = Registrar::new(&registry);
        process::register_process(&mut registrar)?;
        let connections = ConnectionMetrics::register(&mut registrar)?;
        let tls = TlsMetrics::register(&mut registrar)?;
        let protocol = ProtocolMetrics::register(&mut registrar)?;
        let rooms = RoomMetrics::register(&mut registrar)?;
        let recovery = RecoveryMetrics::register(&mut registrar)?;
        let presence = PresenceMetrics::register(&mut registrar)?;
        let messages = MessageFamilies::register(&mut registrar)?;
        let compression = CompressionMetrics::register(&mut registrar)?;
        let bus = BusMetrics::register(&mut registrar)?;
        let api = ApiMetrics::register(&mut registrar)?;
        let proxies = ProxyMetrics::register(&mut registrar)?;
        let tokens = TokenMetrics::register(&mut registrar)?;
        let permissions = PermissionMetrics::register(&mut registrar)?;
        let limits = LimitMetrics::register(&mut registrar)?;
        let revocations = RevocationMetrics::register(&mut registrar)?;
        let config = ConfigMetrics::register(&mut registrar)?;
        let control = ControlMetrics::register(&mut registrar)?;
        let files = FileMetrics::register(&mut registrar)?;
        let traces = TraceMetrics::register(&mut registrar)?;
        let families = registrar.finish().into();
        let namespaces = Arc::default();
        Ok(Self {
            registry,
            families,
            namespaces,
            messages,
            connections,
            tls,
            protocol,
            rooms,
            recovery,
            presence,
            compression,
            bus,
            api,
            proxies,
            tokens,
            permissions,
            limits,
            revocations,
            config,
            control,
            files,
            traces,
        })
    }

    /// The counters of a namespace, resolved once per configuration. The same name gives the same counters,
    /// also after a reload; a namespace that is gone keeps its series until the gateway restarts.
    pub fn namespace(&self, name: &str) -> Arc<NamespaceMetrics> {
        let mut namespaces = self.namespaces.lock();
        if let Some(known) = namespaces.iter().find(|namespace| namespace.name() == name) {
            return known.clone();
        }
        let namespace = Arc::new(self.messages.namespace(name, namespaces.len()));
        namespaces.push(namespace.clone());
        namespace
    }

    /// Everything in the Prometheus text format.
    pub fn encode(&self) -> prometheus::Result<String> {
        let books = self.messages.books.write();
        let families = self.registry.gather();
        drop(books);
        TextEncoder::new().encode_to_string(&families)
    }

    /// What is registered, in the order of registration.
    pub fn families(&self) -> &[Family] {
        &self.families
    }
}

#[cfg(test)]
mod tests;

//! The root as it is written: what [`super::validate`] turns into [`super::Settings`].

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::settings::{
    ApiSettings, BusSettings, ClientSettings, DrainSettings, HttpSettings, IssuerSettings, LogSettings,
    MetricsSettings, OpsSettings, PageSettings, ProxySettings, RevocationSettings, RoomSettings,
    TracingSettings,
};

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSettings {
    pub(super) listen: SocketAddr,
    pub(super) ops_listen: SocketAddr,
    /// 0: one per core.
    pub(super) workers: usize,
    /// `None`: the host name.
    pub(super) node_name: Option<String>,
    pub(super) client: ClientSettings,
    pub(super) tokens: Vec<IssuerSettings>,
    pub(super) revocation: RevocationSettings,
    pub(super) http: HttpSettings,
    pub(super) api: ApiSettings,
    pub(super) ops: OpsSettings,
    pub(super) page: PageSettings,
    pub(super) rooms: RoomSettings,
    pub(super) proxies: Vec<ProxySettings>,
    pub(super) bus: BusSettings,
    pub(super) drain: DrainSettings,
    pub(super) log: LogSettings,
    pub(super) tracing: TracingSettings,
    pub(super) metrics: MetricsSettings,
}

impl Default for RawSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            ops_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)),
            workers: 0,
            node_name: None,
            client: ClientSettings::default(),
            tokens: Vec::new(),
            revocation: RevocationSettings::default(),
            http: HttpSettings::default(),
            api: ApiSettings::default(),
            ops: OpsSettings::default(),
            page: PageSettings::default(),
            rooms: RoomSettings::default(),
            proxies: Vec::new(),
            bus: BusSettings::default(),
            drain: DrainSettings::default(),
            log: LogSettings::default(),
            tracing: TracingSettings::default(),
            metrics: MetricsSettings::default(),
        }
    }
}

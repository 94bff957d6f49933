//! Gateways for tests: without ports, and with the inbox of one worker.

use std::sync::Arc;

use tokio::runtime::Handle;
use uuid::Uuid;

use super::Gateway;
use crate::{
    api::ApiKeys, bus::Embedded, config::Settings, inbox::Inbox, metrics::Metrics, rooms::Rooms,
    telemetry::Tracer,
};

impl Gateway {
    pub(crate) fn without_bus(settings: Settings) -> Arc<Self> {
        let metrics = Metrics::new().unwrap();
        let inboxes = vec![Arc::<Inbox>::default()];
        let (rooms, _linger) = Rooms::new(inboxes.clone(), metrics.rooms.clone());
        let keys = ApiKeys::prepare(&settings.api).unwrap();
        let gateway = Self::new(
            Uuid::new_v4(),
            settings,
            metrics,
            rooms,
            inboxes,
            Tracer::disabled(),
            Handle::current(),
        );
        gateway.api_keys.apply(keys, &gateway.metrics.api);
        gateway
    }

    pub(crate) fn embedded(settings: Settings) -> Arc<Self> {
        let gateway = Self::without_bus(settings);
        gateway.attach(Arc::new(Embedded::new(gateway.node, gateway.clone())));
        gateway.revocations.waive();
        gateway
    }
}

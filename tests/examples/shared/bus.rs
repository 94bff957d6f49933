//! The bus of a gateway, as the programs that measure it use it.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use natter_gateway::{
    bus::{Bus, BusEvents, BusStatus, Nats, NatsConfig, NatsFiles},
    metrics::Metrics,
};
use tokio::time::timeout;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(10);

/// A bus that is up.
pub(crate) async fn connect(url: &str, prefix: &str, events: Arc<dyn BusEvents>) -> Result<Nats> {
    let config = NatsConfig {
        files: NatsFiles::default(),
        servers: vec![url.parse()?],
        name: prefix.to_owned(),
        prefix: prefix.to_owned(),
        node: Uuid::new_v4(),
        ping_interval: Duration::from_secs(5),
        request_timeout: Duration::from_secs(2),
        join_timeout: Duration::from_secs(3),
        join_concurrency: 256,
        subscription_capacity: 65_536,
        serves_api: false,
        manage_streams: true,
        store_timeout: Duration::from_secs(5),
    };
    let bus = Nats::connect(config, events, Metrics::new()?.bus).await?;
    let mut status = bus.status();
    timeout(LIMIT, status.wait_for(|now| *now == BusStatus::Up)).await??;
    Ok(bus)
}

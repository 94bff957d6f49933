//! Calls that only look: `info` and `channels`.

use natter_protocol::ErrorCode;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::{
    Answer, json_text,
    request::{Call, ChannelsRequest},
};

impl Call<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "every method answers alike")]
    pub(super) fn info(&self) -> Answer {
        let nodes = self.gateway.cluster.nodes(self.gateway);
        Ok(json_text(&json!({ "nodes": nodes })))
    }

    pub(super) async fn channels(&self, request: ChannelsRequest) -> Answer {
        let pattern = (!request.pattern.is_empty()).then_some(request.pattern);
        let rooms = self
            .gateway
            .cluster
            .count_rooms(self.gateway, pattern)
            .await
            .map_err(|error| {
                warn!(%error, "rooms could not be counted");
                ErrorCode::Internal
            })?;
        let channels: Map<String, Value> = rooms
            .into_iter()
            .map(|(room, members)| (room, json!({ "num_clients": members })))
            .collect();
        Ok(json_text(&json!({ "channels": channels })))
    }
}

//! Who is in a room, at whichever gateway: `presence` and `presence_stats`.

use natter_protocol::{ErrorCode, json::encode_client_info};
use serde_json::json;

use super::{
    Answer, json_text,
    refusal::Refusal,
    request::{Call, PresenceRequest},
};
use crate::presence::with_infos;

impl Call<'_> {
    pub(super) async fn presence(&self, request: PresenceRequest) -> Answer {
        let limit = self.presence_limit(&request.channel)?;
        let members = self.gateway.members(&request.channel, limit).await?;
        Ok(with_infos(&members, |infos| {
            let mut body = b"{\"presence\":{".to_vec();
            for (index, info) in infos.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                body.extend(format!("{comma}\"{}\":", info.client).into_bytes());
                encode_client_info(info, &mut body);
            }
            body.extend_from_slice(b"}}");
            body
        }))
    }

    pub(super) async fn presence_stats(&self, request: PresenceRequest) -> Answer {
        let limit = self.presence_limit(&request.channel)?;
        let stats = self.gateway.member_stats(&request.channel, limit).await?;
        Ok(json_text(
            &json!({ "num_clients": stats.num_clients, "num_users": stats.num_users }),
        ))
    }

    /// Of the namespace of a room that keeps presence.
    fn presence_limit(&self, channel: &str) -> Result<usize, Refusal> {
        let limit = self.gateway.presence_limit(&*self.namespace(channel)?);
        limit.map_err(|code| match code {
            ErrorCode::NotAvailable => Refusal::NoPresence,
            code => code.into(),
        })
    }
}

//! When does a live subscription count, and what is the newest message at that moment?
//!
//! In a cluster neither a flush, nor a direct read, nor a question to the leader tells: the first reaches the own server
//! only, the second any replica, and the third travels on the system account's route, which may overtake the interest
//! on its way to the leader's server. A publication to the room's own subject does: it follows the interest on the same
//! route to the one server that takes it, so its answer proves that the interest has arrived. It is made so that the
//! stream must refuse it; nothing is stored, nothing is published.
//!
//! Form B expects an impossible last sequence and is refused with the true one: barrier and head in one trip. While
//! publications of the room are under way the refusal has no number in it; it is a barrier all the same, and the head
//! comes from the leader. Form A expects another stream, for a server that refuses form B in words we do not know.
//!
//! Not covered: superclusters, leaf nodes, and a leader that moves in between. Reading the head again a second later
//! bounds all of them.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    JetStream,
    api::{self, ApiError, CallError, code},
    partition::StoredRoom,
    requests::Question,
};
use crate::bus::BusError;

const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";

/// What a refusal says.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Barrier and head.
    Head(u64),
    /// Barrier only.
    Barrier,
    Unknown,
}

impl JetStream {
    /// Newest sequence of the room, 0 when it has none. Everything stored after it reaches the subscriptions to its
    /// live subject that were made before the call on the same connection.
    pub(in crate::bus::nats) async fn head(&self, room: &StoredRoom) -> Result<u64, BusError> {
        match self.refused(room, EXPECTED_LAST, &u64::MAX.to_string()).await? {
            Refusal::Head(head) => return Ok(head),
            Refusal::Barrier => {}
            Refusal::Unknown => self.barrier(room).await?,
        }
        self.leader_head(room).await
    }

    /// Form A: the barrier alone.
    pub(super) async fn barrier(&self, room: &StoredRoom) -> Result<(), BusError> {
        match self.refused(room, EXPECTED_STREAM, "-").await? {
            Refusal::Barrier | Refusal::Head(_) => Ok(()),
            Refusal::Unknown => Err(BusError::Refused),
        }
    }

    async fn refused(
        &self,
        room: &StoredRoom,
        expectation: &'static str,
        value: &str,
    ) -> Result<Refusal, BusError> {
        /// Whatever was accepted: there is nothing to read in it.
        #[derive(Deserialize)]
        struct Accepted {}

        let mut headers = HeaderMap::new();
        headers.insert(expectation, value);
        let answer = self.requests.ask(Question {
            subject: room.subject.as_str().into(),
            headers,
            payload: Bytes::new(),
        })?;
        let answer = answer.until(Instant::now() + self.limits.request).await?;
        match api::read::<Accepted>(&answer) {
            Ok(Accepted {}) => Err(BusError::Refused),
            Err(CallError::Api(error)) => Ok(Refusal::read(&error)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Refusal {
    fn read(error: &ApiError) -> Self {
        let head = || error.description.rsplit(' ').next()?.parse().ok();
        match error.number {
            code::WRONG_LAST_SEQUENCE => head().map_or(Self::Barrier, Self::Head),
            code::WRONG_LAST_SEQUENCE_IN_FLIGHT | code::WRONG_STREAM => Self::Barrier,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read() {
        for (number, description, meaning) in [
            (10_071, "wrong last sequence: 42", Refusal::Head(42)),
            (10_071, "wrong last sequence: 0", Refusal::Head(0)),
            (10_071, "wrong last sequence", Refusal::Barrier),
            (10_164, "wrong last sequence", Refusal::Barrier),
            (10_060, "expected stream does not match", Refusal::Barrier),
            (10_077, "maximum bytes exceeded", Refusal::Unknown),
        ] {
            let error = ApiError {
                number,
                description: description.to_owned(),
            };
            assert_eq!(Refusal::read(&error), meaning, "{error}");
        }
    }
}

//! What every gateway must know, in a key-value bucket: the stream `KV_<prefix>_revocations`, which any NATS tool reads.
//!
//! A reader does not watch: it asks the stream's leader how far the stream is, and reads what it lacks. So an answer says that
//! nothing older is missing, which a watch that is silent cannot. Many changes are read from whichever replica answers; it may
//! lag behind, so the last of them are asked of the leader.
//!
//! `created` stays when the stream loses its end, and its numbers are given a second time. So before numbers are gone by, the leader is asked
//! whether it still has one of the last changes that the reader knows, of the same time: whatever was stored before that one
//! is then there as well. Where it has none (all of them were superseded, or lost) everything is read.

use std::sync::Arc;

use async_nats::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    JetStream,
    api::{self, CallError, Verb, code, nanoseconds},
    requests::Question,
    server_version,
    streams::StreamInfo,
};
use crate::bus::{BusError, Changes, Keep, KeepError, Kept, Mark, ServerSupport, Stamp};

/// Changes that one question to a replica brings, and their bytes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// So many the leader is asked for one by one.
const FEW: u64 = 16;
/// Copies in a cluster of NATS servers: one may be lost.
const REPLICAS: u64 = 3;
/// Looks, on average, between two tries to give the bucket as many copies as it should have: a cluster that has just started may
/// not have known its servers.
const LOOKS_PER_COPIES: u8 = 32;
/// How long the bucket knows a message id: none is sent.
const DUPLICATE_WINDOW_NS: u64 = 1_000_000_000;

const TTL: &str = "Nats-TTL";
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// Tools know by it that a key has no value any more.
const OPERATION: (&str, &str) = ("KV-Operation", "DEL");

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(rename = "seq")]
    sequence: u64,
}

impl JetStream {
    /// As [`crate::bus::Bus::keep`]. NATS answers with the number of the change and not with the store's time of creation: what is
    /// the same before and after was the same meanwhile. A bucket that was made anew is asked once more.
    pub(in crate::bus::nats) async fn keep(&self, keep: &Keep) -> Result<Mark, KeepError> {
        let known = self.bucket_epoch.lock().clone();
        let mut before = match known {
            Some(epoch) => epoch,
            None => self.epoch().await?,
        };
        for _ in 0..2 {
            let sequence = self.store_kept(keep).await?;
            let after = self.epoch().await?;
            if before == after {
                return Ok(Mark {
                    epoch: after,
                    sequence,
                    proofs: Vec::new(),
                });
            }
            before = after;
        }
        Err(BusError::Refused.into())
    }

    /// Names the bucket.
    async fn epoch(&self) -> Result<Arc<str>, KeepError> {
        let stream = self.subjects.bucket_stream();
        Ok(self.note_epoch(self.bucket(&stream, false).await?.created))
    }

    fn note_epoch(&self, created: String) -> Arc<str> {
        let epoch: Arc<str> = created.into();
        *self.bucket_epoch.lock() = Some(epoch.clone());
        epoch
    }

    async fn store_kept(&self, keep: &Keep) -> Result<u64, KeepError> {
        let mut headers = HeaderMap::new();
        headers.insert(TTL, keep.ttl.as_secs().max(1).to_string().as_str());
        if keep.value.is_empty() {
            headers.insert(OPERATION.0, OPERATION.1);
        }
        if let Some(only) = keep.only_after {
            headers.insert(EXPECTED, only.to_string().as_str());
        }
        let answer = self.requests.ask(Question {
            subject: self.subjects.kept(&keep.key).into(),
            headers,
            payload: keep.value.clone(),
        })?;
        let message = answer.until(Instant::now() + self.limits.store).await;
        let message = message.map_err(|error| self.cannot_keep(error.into()))?;
        match api::read::<Acknowledgement>(&message) {
            Ok(acknowledged) => Ok(acknowledged.sequence),
            Err(CallError::Api(error)) if keep.only_after.is_some() && is_taken(error.number) => Ok(0),
            Err(error) => Err(self.cannot_keep(error)),
        }
    }

    /// As [`crate::bus::Bus::changes`].
    pub(in crate::bus::nats) async fn changes(&self, since: Option<Mark>) -> Result<Changes, KeepError> {
        let stream = self.subjects.bucket_stream();
        let wants_copies = since.is_none() || fastrand::u8(..LOOKS_PER_COPIES) == 0;
        let info = self.bucket(&stream, wants_copies).await?;
        let epoch = self.note_epoch(info.created);
        let last = Stamp {
            sequence: info.state.last_seq,
            time: nanoseconds(&info.state.last_ts),
        };
        let since = match since.filter(|mark| mark.epoch == epoch) {
            Some(mark) => self.common(&stream, &mark, last).await?,
            None => None,
        };
        Ok(Changes {
            kept: self
                .kept_between(&stream, since.unwrap_or(0), last.sequence)
                .await?,
            mark: Mark {
                epoch,
                sequence: last.sequence,
                proofs: vec![last],
            },
            since,
            total: info.state.messages,
        })
    }

    /// The newest change that a reader with this mark knows and that the leader has. 0 always is: there was nothing to know.
    async fn common(&self, stream: &str, mark: &Mark, last: Stamp) -> Result<Option<u64>, KeepError> {
        for proof in &mark.proofs {
            if proof.sequence == 0 || (*proof == last && last.time > 0) {
                return Ok(Some(proof.sequence));
            }
            if proof.sequence > last.sequence || proof.time == 0 {
                continue;
            }
            let found = self
                .leader_message(stream, &json!({ "seq": proof.sequence }))
                .await;
            let found = found.map_err(|error| self.cannot_keep(error))?;
            if found.is_some_and(|message| message.time == proof.time) {
                return Ok(Some(proof.sequence));
            }
        }
        Ok(None)
    }

    /// The changes with `after` < sequence ≤ `until`, which the leader has named.
    async fn kept_between(&self, stream: &str, after: u64, until: u64) -> Result<Vec<Kept>, KeepError> {
        let everything = self.subjects.kept(">");
        let (mut all, mut at) = (Vec::new(), after);
        while until - at > FEW {
            let batch = self.read(stream, &everything, at + 1, BATCH, BATCH_BYTES).await?;
            for stored in &batch.messages {
                at = at.max(stored.sequence.min(until));
                let value = stored.message.payload.clone();
                all.extend(stored.subject().and_then(|subject| {
                    let key = self.key(subject)?;
                    Some(Kept {
                        sequence: stored.sequence,
                        time: stored.time(),
                        key,
                        value,
                    })
                }));
            }
            if !batch.more {
                break;
            }
        }
        let mut next = at;
        while next < until {
            let wanted = json!({ "seq": next + 1, "next_by_subj": everything });
            let found = self.leader_message(stream, &wanted).await;
            let Some(message) = found.map_err(|error| self.cannot_keep(error))? else {
                break;
            };
            next = message.sequence;
            all.extend(self.key(&message.subject).map(|key| Kept {
                sequence: message.sequence,
                time: message.time,
                key,
                value: message.data.into(),
            }));
        }
        Ok(all)
    }

    fn key(&self, subject: &str) -> Option<String> {
        let bucket = self.subjects.kept("");
        subject.strip_prefix(&bucket).map(str::to_owned)
    }

    /// Makes the bucket unless it is there; the name of its stream, and whether it is new.
    pub(in crate::bus::nats) async fn ensure_bucket(&self) -> Result<(String, bool), CallError> {
        let stream = self.subjects.bucket_stream();
        let is_there = self.stream_info(&stream).await?.is_some();
        if !is_there {
            let is_cluster = self.client.server_info().cluster.is_some();
            self.make_bucket(&stream, if is_cluster { REPLICAS } else { 1 })
                .await?;
        }
        Ok((stream, !is_there))
    }

    /// The bucket's stream, which is made when it is not there and the gateway makes streams. Safe to run in several gateways at once.
    async fn bucket(&self, stream: &str, wants_copies: bool) -> Result<StreamInfo, KeepError> {
        let server = self.client.server_info();
        if server_version::judge(&server.version).support == ServerSupport::TooOld {
            return Err(KeepError::Unavailable);
        }
        let replicas = if server.cluster.is_some() { REPLICAS } else { 1 };
        let found = self.stream_info(stream).await;
        match found.map_err(|error| self.cannot_keep(error))? {
            Some(info) if wants_copies && self.manages_streams && replicas_of(&info) < replicas => {
                Ok(self.with_replicas(stream, info, replicas).await)
            }
            Some(info) => Ok(info),
            None if !self.manages_streams => Err(KeepError::Missing),
            None => {
                let made = self.make_bucket(stream, replicas).await;
                made.map_err(|error| self.cannot_keep(error))
            }
        }
    }

    /// NATS has become a cluster. Where it does not have so many servers the bucket stays as it is.
    async fn with_replicas(&self, stream: &str, info: StreamInfo, replicas: u64) -> StreamInfo {
        let mut config = info.config.clone();
        config.insert("num_replicas".to_owned(), replicas.into());
        let changed = self.call(Verb::Update, stream, &Value::Object(config)).await;
        changed.unwrap_or_else(|error| {
            warn!(stream, %error, "the bucket of revocations has fewer copies than it should");
            info
        })
    }

    /// With one copy where there cannot be more.
    async fn make_bucket(&self, stream: &str, replicas: u64) -> Result<StreamInfo, CallError> {
        let create = async |replicas| {
            let config = self.bucket_config(stream, replicas);
            self.call::<StreamInfo>(Verb::Create, stream, &config).await
        };
        let mut created = create(replicas).await;
        if let Err(CallError::Api(error)) = &created
            && replicas > 1
        {
            warn!(stream, %error, "the bucket of revocations gets one copy only");
            created = create(1).await;
        }
        match created {
            // Another gateway was faster, with another number.
            Err(CallError::Api(error)) if error.number == code::NAME_IN_USE => {
                let found = self.stream_info(stream).await?;
                found.ok_or(CallError::Api(error))
            }
            Ok(info) => {
                info!(stream, "made the bucket of revocations");
                Ok(info)
            }
            failed => failed,
        }
    }

    fn bucket_config(&self, stream: &str, replicas: u64) -> Value {
        json!({
            "name": stream,
            "subjects": [self.subjects.kept(">")],
            "retention": "limits",
            "storage": "file",
            "num_replicas": replicas,
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "discard": "new",
            "duplicate_window": DUPLICATE_WINDOW_NS,
            "allow_direct": true,
            "allow_msg_ttl": true,
            // Rules end by a change, or by themselves.
            "deny_delete": true,
            "deny_purge": true,
            "metadata": super::streams::made_by_a_gateway(),
        })
    }

    /// Nobody answers where there is no `JetStream`, and where it is away: the server says which.
    fn cannot_keep(&self, error: CallError) -> KeepError {
        let has_jetstream = self.client.server_info().jetstream;
        match error {
            CallError::NoResponders if !has_jetstream => KeepError::Unavailable,
            // A server that has it has turned it off, as it does when its disk is full.
            CallError::Api(error) if error.number == code::NOT_ENABLED && !has_jetstream => {
                KeepError::Unavailable
            }
            CallError::Api(error) if error.number == code::ACCOUNT_NOT_ENABLED => KeepError::Unavailable,
            error => KeepError::Bus(BusError::from(error)),
        }
    }
}

fn is_taken(number: u32) -> bool {
    matches!(
        number,
        code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT
    )
}

fn replicas_of(info: &StreamInfo) -> u64 {
    let replicas = info.config.get("num_replicas").and_then(Value::as_u64);
    replicas.unwrap_or(1)
}

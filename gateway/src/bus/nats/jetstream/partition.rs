//! Which stream a room is in. The answer is part of the data: a room whose partition changed would lose its history,
//! so neither the hash nor a namespace's number of partitions ever changes.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::JetStream;
use crate::{bus::BusError, history::Epoch};

/// How long it counts where a stream was. Shorter than messages live, so that none has come and gone since.
const FRESH: Duration = Duration::from_millis(500);

/// One stream of a namespace.
#[derive(Debug)]
pub(in crate::bus::nats) struct Partition {
    pub(in crate::bus::nats) stream: String,
    pub(in crate::bus::nats) number: u16,
    pub(in crate::bus::nats) epoch: Epoch,
    /// Messages of one room that the stream keeps and always kept; `u64::MAX` when it does not limit them.
    pub(in crate::bus::nats) size: u64,
    /// When the stream was looked at, and its newest sequence then.
    pub(super) reached: Mutex<(Instant, u64)>,
}

impl JetStream {
    /// A sequence that the stream has reached, of whatever room. A room whose head is looked at afterwards, and which
    /// has no message, has missed none up to here. Joins that come together share one look.
    pub(in crate::bus::nats) async fn reached(&self, partition: &Partition) -> Result<u64, BusError> {
        let mut reached = partition.reached.lock().await;
        if reached.0.elapsed() > FRESH {
            let now = Instant::now();
            let info = self.stream_info(&partition.stream).await?;
            *reached = (now, info.ok_or(BusError::Disconnected)?.state.last_seq);
        }
        Ok(reached.1)
    }
}

/// How far the stream has come makes it no other one.
impl PartialEq for Partition {
    fn eq(&self, other: &Self) -> bool {
        let identity = |partition: &Self| (partition.number, partition.size);
        identity(self) == identity(other) && self.stream == other.stream && self.epoch == other.epoch
    }
}

/// A durable room: its stream and its subjects.
#[derive(Clone, Debug)]
pub(in crate::bus::nats) struct StoredRoom {
    pub(in crate::bus::nats) partition: Arc<Partition>,
    /// Where its publications are sent to be stored, and what it is called in the stream.
    pub(in crate::bus::nats) subject: String,
    /// Where they arrive live.
    pub(in crate::bus::nats) live: String,
}

/// The partition of `room` among `count`, which is at least 1.
pub(super) fn partition_of(room: &str, count: u16) -> u16 {
    let partition = stable_hash([room.as_bytes()]) % u64::from(count.max(1));
    // Smaller than a u16.
    u16::try_from(partition).unwrap_or_default()
}

/// Changes with the stream: a stream that was deleted and made again counts from 1.
pub(super) fn epoch(stream: &str, created: &str) -> Epoch {
    let hash = stable_hash([stream.as_bytes(), b"\0", created.as_bytes()]);
    Epoch::from(format!("{hash:016x}").as_str())
}

/// FNV-1a (64 bits) with the final mix of `MurmurHash3` (`fmix64`): alone, FNV's low bits depend on the low bits of the
/// input only, and rooms numbered in steps would share a partition.
pub(super) fn stable_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHES: [(&str, u64); 5] = [
        ("", 0xefd0_1f60_ba99_2926),
        ("lobby", 0xb4ea_f00b_b6c1_c767),
        ("chat:room-1", 0x1c00_e96d_546a_d75c),
        ("chat:room-2", 0x9f4d_46fc_53ee_e810),
        ("größe", 0x2eb8_95f5_6869_eaa1),
    ];

    /// These values never change: rooms in the field depend on them.
    #[test]
    fn the_hash_is_fixed() {
        for (room, hash) in HASHES {
            assert_eq!(stable_hash([room.as_bytes()]), hash, "{room}");
        }
    }

    #[test]
    fn rooms_spread_over_partitions() {
        for step in [1, 4, 16, 1000] {
            let mut counts = [0_u32; 4];
            for number in 0..4000 {
                counts[usize::from(partition_of(&format!("chat:room-{}", number * step), 4))] += 1;
            }
            assert!(
                counts.iter().all(|count| (900..1100).contains(count)),
                "{counts:?}"
            );
        }
        assert_eq!(partition_of("any", 1), 0);
    }

    #[test]
    fn a_stream_made_again_has_another_epoch() {
        let first = epoch("n_chat_0", "2026-11-21T09:00:00.000000001Z");
        assert_eq!(first, epoch("n_chat_0", "2026-11-21T09:00:00.000000001Z"));
        assert_ne!(first, epoch("n_chat_0", "2026-11-21T09:00:00.000000002Z"));
        assert_ne!(first, epoch("n_chat_1", "2026-11-21T09:00:00.000000001Z"));
        assert_eq!(first.as_str().len(), 16);
    }
}

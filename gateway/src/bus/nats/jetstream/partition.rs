//! Which stream a room is in. The answer is part of the data: a room whose partition changed would lose its history,
//! so neither the hash nor a namespace's number of partitions ever changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::JetStream;
use crate::{bus::BusError, history::Epoch};

/// How long it counts where a stream was. Shorter than messages live, so that none has come and gone since.
const FRESH: Duration = Duration::from_millis(500);

/// Looks in a row that must find a stream behind what was seen of it: a leader that was just elected may still be
/// catching up.
const LOOKS: u32 = 3;

/// One stream of a namespace.
#[derive(Debug)]
pub(in crate::bus::nats) struct Partition {
    pub(in crate::bus::nats) stream: String,
    pub(in crate::bus::nats) epoch: Epoch,
    /// When the stream was made, as the server says it.
    pub(super) created: String,
    /// How often it has lost its end and went on from a smaller sequence.
    pub(super) generation: u64,
    /// The greatest sequence that this gateway knows of.
    seen: AtomicU64,
    /// Looks in a row that found the stream behind it.
    behind: AtomicU32,
    /// A sequence was given that had been given before.
    repeats: AtomicBool,
    /// When the stream was looked at, and its newest sequence then.
    reached: Mutex<(Instant, u64)>,
}

/// What a stream's newest sequence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    GoesOn,
    /// It is behind what was seen of it; perhaps only for a moment.
    Doubtful,
    /// Its end is lost, and sequences are given again.
    WentBack,
}

impl Partition {
    pub(super) fn new(stream: String, created: String, generation: u64, newest: u64) -> Self {
        Self {
            epoch: epoch(&stream, &created, generation),
            stream,
            created,
            generation,
            seen: AtomicU64::new(newest),
            behind: AtomicU32::new(0),
            repeats: AtomicBool::new(false),
            reached: Mutex::new((Instant::now(), newest)),
        }
    }

    /// The stream has given this sequence.
    pub(in crate::bus::nats) fn see(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::AcqRel);
    }

    /// The greatest sequence that this gateway knows of.
    pub(in crate::bus::nats) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// A sequence that was given before was given again: proof that the stream went back, wherever it is by now.
    pub(in crate::bus::nats) fn repeats_itself(&self) {
        self.repeats.store(true, Ordering::Release);
    }

    /// Compares what the stream's leader says, asked after `seen` was known, with it.
    pub(super) fn judge(&self, seen: u64, newest: u64) -> Progress {
        if self.repeats.load(Ordering::Acquire) {
            return Progress::WentBack;
        }
        if newest >= seen {
            self.see(newest);
            self.behind.store(0, Ordering::Release);
            return Progress::GoesOn;
        }
        if self.behind.fetch_add(1, Ordering::AcqRel) + 1 < LOOKS {
            Progress::Doubtful
        } else {
            Progress::WentBack
        }
    }
}

impl JetStream {
    /// A sequence that the stream has reached, of whatever room. A room whose head is looked at afterwards, and which
    /// has no message, has missed none up to here. Joins that come together share one look.
    pub(in crate::bus::nats) async fn reached(&self, partition: &Partition) -> Result<u64, BusError> {
        let mut reached = partition.reached.lock().await;
        if reached.0.elapsed() > FRESH {
            let (now, seen) = (Instant::now(), partition.seen());
            let newest = self.newest_sequence(partition).await?;
            if newest < seen {
                return Err(BusError::Disconnected);
            }
            *reached = (now, newest);
        }
        Ok(reached.1)
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

/// Changes with the stream: a stream that was deleted and made again counts from 1, and one that lost its end counts from
/// there.
fn epoch(stream: &str, created: &str, generation: u64) -> Epoch {
    let generation = match generation {
        0 => String::new(),
        generation => format!("\0{generation}"),
    };
    let hash = stable_hash([
        stream.as_bytes(),
        b"\0",
        created.as_bytes(),
        generation.as_bytes(),
    ]);
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
        let first = epoch("n_chat_0", "2026-11-21T09:00:00.000000001Z", 0);
        assert_eq!(first, epoch("n_chat_0", "2026-11-21T09:00:00.000000001Z", 0));
        assert_ne!(first, epoch("n_chat_0", "2026-11-21T09:00:00.000000002Z", 0));
        assert_ne!(first, epoch("n_chat_1", "2026-11-21T09:00:00.000000001Z", 0));
        assert_ne!(first, epoch("n_chat_0", "2026-11-21T09:00:00.000000001Z", 1));
        assert_eq!(first.as_str().len(), 16);
    }

    #[test]
    fn a_stream_goes_back_when_it_stays_behind() {
        let partition = Partition::new("n_chat_0".into(), "now".into(), 0, 5);
        partition.see(9);
        partition.see(7);
        let judge = |newest| partition.judge(partition.seen(), newest);
        assert_eq!(
            [8, 8, 9].map(judge),
            [Progress::Doubtful, Progress::Doubtful, Progress::GoesOn]
        );
        assert_eq!(
            [8, 3, 4].map(judge),
            [Progress::Doubtful, Progress::Doubtful, Progress::WentBack]
        );
    }
}

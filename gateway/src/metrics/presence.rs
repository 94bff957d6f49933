//! Who is in rooms, and what it takes to know.

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::family::{LabeledCounter, Registrar};
use crate::bus::BusError;

/// Presence of one gateway.
#[derive(Clone, Debug)]
pub struct PresenceMetrics {
    rooms: IntGauge,
    members: IntGaugeVec,
    words: LabeledCounter,
    /// Gateways asked for a digest.
    pub repairs: IntCounter,
    /// Digests that this gateway did not take on to send.
    pub refused: IntCounter,
    /// Members that went with their gateway.
    pub gone: IntCounter,
    /// What is said of a member and is too long.
    pub left_out: IntCounter,
    reads: LabeledCounter,
    pushes: LabeledCounter,
}

const SAID: &str = "said";
const REFUSED: &str = "refused";
const HERE: &str = "here";
const ELSEWHERE: &str = "elsewhere";
const QUEUED: &str = "queued";
const DROPPED: &str = "dropped";

impl PresenceMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            rooms: registrar.gauge("natter_presence_rooms", "Rooms whose members this gateway knows")?,
            members: registrar.gauges(
                "natter_presence_members",
                "Members that this gateway keeps: its own, and those of others",
                &["source"],
            )?,
            words: registrar.labeled(
                "natter_presence_words_total",
                "Messages to other gateways about members of rooms, by what the bus did; those it refused are said later",
                &["result"],
                [SAID, REFUSED],
            )?,
            repairs: registrar.counter(
                "natter_presence_repairs_total",
                "Gateways asked who their members of a room are, because a message was missed or nothing was heard",
            )?,
            refused: registrar.counter(
                "natter_presence_digests_refused_total",
                "Answers to such questions that were not begun because too many were owed; they are asked for again",
            )?,
            gone: registrar.counter(
                "natter_presence_gone_total",
                "Members of other gateways that went because their gateway left or was silent",
            )?,
            left_out: registrar.counter(
                "natter_presence_infos_left_out_total",
                "What backends say of a client (`info`) that is not told in a room, because it is longer than 16 KiB",
            )?,
            reads: registrar.labeled(
                "natter_presence_reads_total",
                "Reads of presence, by where the answer came from; `elsewhere` counts the questions to all gateways",
                &["source"],
                [HERE, ELSEWHERE],
            )?,
            pushes: registrar.labeled(
                "natter_presence_pushes_total",
                "Join and leave messages to members; `dropped` = not queued for a member that reads too slowly",
                &["result"],
                [QUEUED, DROPPED],
            )?,
        })
    }

    /// Something was handed to the bus, or not.
    pub fn announced(&self, result: Result<(), BusError>) {
        self.words.inc(if result.is_ok() { SAID } else { REFUSED });
    }

    /// Members were read from memory.
    pub fn read_here(&self) {
        self.reads.inc(HERE);
    }

    /// All gateways are asked for the members of a room.
    pub fn read_elsewhere(&self) {
        self.reads.inc(ELSEWHERE);
    }

    /// A member was given so many pushes, or was to be.
    pub fn pushed(&self, count: usize, taken: bool) {
        self.pushes
            .inc_by(if taken { QUEUED } else { DROPPED }, count as u64);
    }

    /// How much is kept now.
    pub fn measured(&self, rooms: usize, own: usize, others: usize) {
        // Bounded by memory, far below i64.
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.rooms.set(gauge(rooms));
        for (source, count) in [("own", own), ("others", others)] {
            if let Ok(members) = self.members.get_metric_with_label_values(&[source]) {
                members.set(gauge(count));
            }
        }
    }
}

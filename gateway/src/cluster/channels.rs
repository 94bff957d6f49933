//! The question which rooms have members, and how many.

use std::collections::HashMap;

use tokio::{sync::mpsc, time::timeout};
use tracing::debug;
use uuid::Uuid;

use super::{
    Command, Message, Recipient,
    survey::{Collected, PART_SIZE, SurveyError, TIMEOUT},
};
use crate::{gateway::Gateway, inbox::Note};

/// Members by room.
pub(super) type RoomCounts = HashMap<String, u64>;

impl Collected for RoomCounts {
    type Part = Self;

    fn add(&mut self, part: Self) {
        for (room, members) in part {
            *self.entry(room).or_default() += members;
        }
    }
}

impl super::Cluster {
    /// Rooms with members on any gateway, and how many; `pattern` is a glob.
    pub async fn count_rooms(
        &self,
        gateway: &Gateway,
        pattern: Option<String>,
    ) -> Result<HashMap<String, u64>, SurveyError> {
        let nodes = self.nodes(gateway).iter().map(|info| info.uid).collect();
        let ask = |survey| self.send(gateway, Recipient::All, Message::CountRooms { survey, pattern });
        self.room_counts.ask(nodes, ask).await
    }
}

/// Answers another gateway's question, or the own one.
pub(super) fn answer(gateway: &Gateway, to: Uuid, survey: Uuid, pattern: Option<String>) {
    let (answer, mut counts) = mpsc::unbounded_channel();
    gateway.tell_workers(&Note::Command(Command::CountRooms { pattern, answer }.into()));
    let Some(gateway) = gateway.shared() else { return };
    gateway.runtime.clone().spawn(async move {
        let mut rooms = RoomCounts::new();
        // Ends when every worker has answered and dropped its sender.
        while let Ok(Some(part)) = timeout(TIMEOUT, counts.recv()).await {
            rooms.add(part);
        }
        for (rooms, last) in parts(rooms) {
            let message = Message::RoomCounts { survey, rooms, last };
            if let Err(error) = gateway.cluster.send(&gateway, Recipient::Node(to), message) {
                debug!(%error, "could not answer a survey");
            }
        }
    });
}

/// Splits an answer into messages that the bus carries; the last one is marked.
fn parts(rooms: RoomCounts) -> Vec<(RoomCounts, bool)> {
    let mut parts = vec![(RoomCounts::new(), false)];
    let mut size = 0;
    for (room, members) in rooms {
        size += room.len() + 32;
        if size > PART_SIZE {
            parts.push((RoomCounts::new(), false));
            size = room.len() + 32;
        }
        if let Some((part, _)) = parts.last_mut() {
            part.insert(room, members);
        }
    }
    if let Some((_, last)) = parts.last_mut() {
        *last = true;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_answers_travel_in_parts() {
        let rooms: HashMap<_, _> = (0..20_000).map(|n| (format!("room-{n:0>40}"), 1)).collect();
        let parts = parts(rooms.clone());
        assert!(parts.len() > 1);
        assert_eq!(parts.iter().filter(|(_, last)| *last).count(), 1);
        assert!(parts.last().unwrap().1);
        let together: HashMap<_, _> = parts.into_iter().flat_map(|(part, _)| part).collect();
        assert_eq!(together, rooms);
    }
}

//! Questions that every gateway answers: which rooms have members.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::debug;
use uuid::Uuid;

use super::{Command, Message, Recipient};
use crate::{bus::BusError, gateway::Gateway, inbox::Note};

/// What the slowest gateway may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of room names in one message, well below NATS's default limit of 1 MiB.
const PART_SIZE: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("a gateway did not answer in time")]
    Timeout,
}

#[derive(Default)]
pub(super) struct Surveys {
    open: Mutex<HashMap<Uuid, Survey>>,
}

struct Survey {
    /// Gateways that still have to finish their answer.
    missing: HashSet<Uuid>,
    rooms: HashMap<String, u64>,
    done: oneshot::Sender<HashMap<String, u64>>,
}

impl Surveys {
    fn open(&self, survey: Uuid, missing: HashSet<Uuid>) -> oneshot::Receiver<HashMap<String, u64>> {
        let (done, result) = oneshot::channel();
        self.open.lock().insert(
            survey,
            Survey {
                missing,
                rooms: HashMap::new(),
                done,
            },
        );
        result
    }

    fn close(&self, survey: Uuid) {
        self.open.lock().remove(&survey);
    }

    pub(super) fn collect(&self, survey: Uuid, from: Uuid, rooms: HashMap<String, u64>, last: bool) {
        let mut open = self.open.lock();
        // A late answer finds its survey closed.
        let Some(collected) = open.get_mut(&survey) else {
            return;
        };
        for (room, members) in rooms {
            *collected.rooms.entry(room).or_default() += members;
        }
        if last {
            collected.missing.remove(&from);
        }
        if collected.missing.is_empty()
            && let Some(survey) = open.remove(&survey)
        {
            // Who asked may have given up.
            let _ = survey.done.send(survey.rooms);
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
        let survey = Uuid::new_v4();
        let nodes = self.nodes(gateway).iter().map(|info| info.uid).collect();
        let result = self.surveys.open(survey, nodes);
        let asked = self.send(gateway, Recipient::All, Message::CountRooms { survey, pattern });
        let answer = match asked {
            Ok(()) => timeout(TIMEOUT, result)
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(SurveyError::Timeout),
            Err(error) => Err(error.into()),
        };
        self.surveys.close(survey);
        answer
    }
}

/// Answers another gateway's question, or the own one.
pub(super) fn answer(gateway: &Gateway, to: Uuid, survey: Uuid, pattern: Option<String>) {
    let (answer, mut counts) = mpsc::unbounded_channel();
    gateway.tell_workers(&Note::Command(Command::CountRooms { pattern, answer }.into()));
    let Some(gateway) = gateway.shared() else { return };
    gateway.runtime.clone().spawn(async move {
        let mut rooms: HashMap<String, u64> = HashMap::new();
        // Ends when every worker has answered and dropped its sender.
        while let Ok(Some(part)) = timeout(TIMEOUT, counts.recv()).await {
            for (room, members) in part {
                *rooms.entry(room).or_default() += members;
            }
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
fn parts(rooms: HashMap<String, u64>) -> Vec<(HashMap<String, u64>, bool)> {
    let mut parts = vec![(HashMap::new(), false)];
    let mut size = 0;
    for (room, members) in rooms {
        size += room.len() + 32;
        if size > PART_SIZE {
            parts.push((HashMap::new(), false));
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

    #[tokio::test]
    async fn a_survey_adds_up_and_waits_for_everybody() {
        let surveys = Surveys::default();
        let (survey, a, b) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let mut result = surveys.open(survey, HashSet::from([a, b]));
        surveys.collect(survey, a, HashMap::from([("x".into(), 1)]), false);
        surveys.collect(survey, b, HashMap::from([("x".into(), 2)]), true);
        assert!(result.try_recv().is_err());
        surveys.collect(survey, a, HashMap::new(), true);
        assert_eq!(result.await.unwrap(), HashMap::from([("x".into(), 3)]));
    }
}

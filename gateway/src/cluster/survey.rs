//! Questions to other gateways, whose answers come as messages of their own: in parts, from each of those that were asked.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use crate::bus::BusError;

/// What the slowest gateway may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of texts in one message, well below NATS's default limit of 1 MiB.
pub(super) const PART_SIZE: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("a gateway did not answer in time")]
    Timeout,
}

/// What is made of the parts of answers.
pub(super) trait Collected: Default {
    type Part;
    fn add(&mut self, part: Self::Part);
}

/// Questions of one kind that are open.
pub(super) struct Surveys<C> {
    open: Mutex<HashMap<Uuid, Survey<C>>>,
}

struct Survey<C> {
    /// Gateways that still have to finish their answer.
    missing: HashSet<Uuid>,
    collected: C,
    done: oneshot::Sender<C>,
}

impl<C> Default for Surveys<C> {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
        }
    }
}

impl<C: Collected> Surveys<C> {
    /// Sends a question by `ask`, which is given its number, and waits until all of `missing` have answered.
    pub(super) async fn ask(
        &self,
        missing: HashSet<Uuid>,
        ask: impl FnOnce(Uuid) -> Result<(), BusError>,
    ) -> Result<C, SurveyError> {
        self.ask_within(TIMEOUT, missing, ask).await
    }

    /// As [`Surveys::ask`], with another limit.
    pub(super) async fn ask_within(
        &self,
        limit: Duration,
        missing: HashSet<Uuid>,
        ask: impl FnOnce(Uuid) -> Result<(), BusError>,
    ) -> Result<C, SurveyError> {
        let survey = Uuid::new_v4();
        let (result, _open) = self.open(survey, missing);
        ask(survey)?;
        match timeout(limit, result).await {
            Ok(Ok(collected)) => Ok(collected),
            _ => Err(SurveyError::Timeout),
        }
    }

    fn open(&self, survey: Uuid, missing: HashSet<Uuid>) -> (oneshot::Receiver<C>, Open<'_, C>) {
        let (done, result) = oneshot::channel();
        let collected = C::default();
        self.open.lock().insert(
            survey,
            Survey {
                missing,
                collected,
                done,
            },
        );
        (
            result,
            Open {
                surveys: self,
                survey,
            },
        )
    }

    /// A part of an answer came; `last` ends it.
    pub(super) fn collect(&self, survey: Uuid, from: Uuid, part: C::Part, last: bool) {
        let mut open = self.open.lock();
        // A late answer finds its survey closed.
        let Some(collecting) = open.get_mut(&survey) else {
            return;
        };
        collecting.collected.add(part);
        if last {
            collecting.missing.remove(&from);
        }
        if collecting.missing.is_empty()
            && let Some(survey) = open.remove(&survey)
        {
            // Who asked may have given up.
            let _ = survey.done.send(survey.collected);
        }
    }
}

impl<C> Surveys<C> {
    /// A gateway is gone: nobody waits for its answers.
    pub(super) fn forget(&self, node: Uuid) {
        let mut open = self.open.lock();
        for survey in open.values_mut() {
            survey.missing.remove(&node);
        }
        for (_, survey) in open.extract_if(|_, survey| survey.missing.is_empty()) {
            // Who asked may have given up.
            let _ = survey.done.send(survey.collected);
        }
    }
}

/// Closes a survey when nobody waits for it any more.
struct Open<'a, C> {
    surveys: &'a Surveys<C>,
    survey: Uuid,
}

impl<C> Drop for Open<'_, C> {
    fn drop(&mut self) {
        self.surveys.open.lock().remove(&self.survey);
    }
}

#[cfg(test)]
impl<C> Surveys<C> {
    /// The numbers of those that are open.
    pub(super) fn questions(&self) -> Vec<Uuid> {
        self.open.lock().keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Collected for u64 {
        type Part = Self;

        fn add(&mut self, part: Self) {
            *self += part;
        }
    }

    #[tokio::test]
    async fn a_survey_adds_up_and_waits_for_everybody() {
        let surveys = Surveys::<u64>::default();
        let (survey, a, b) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let (mut result, _open) = surveys.open(survey, HashSet::from([a, b]));
        surveys.collect(survey, a, 1, false);
        surveys.collect(survey, b, 2, true);
        assert!(result.try_recv().is_err());
        surveys.collect(survey, a, 0, true);
        assert_eq!(result.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn who_leaves_is_not_waited_for() {
        let surveys = Surveys::<u64>::default();
        let (survey, a, b) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let (mut result, _open) = surveys.open(survey, HashSet::from([a, b]));
        surveys.forget(a);
        assert!(result.try_recv().is_err(), "the other has not answered");
        surveys.forget(b);
        assert_eq!(result.await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_waited_for_for_ever() {
        let surveys = Surveys::<u64>::default();
        let silent = HashSet::from([Uuid::new_v4()]);
        assert_eq!(
            surveys.ask(silent.clone(), |_| Ok(())).await,
            Err(SurveyError::Timeout)
        );
        let refused = surveys.ask(silent, |_| Err(BusError::Overloaded)).await;
        assert_eq!(refused, Err(BusError::Overloaded.into()));
        assert!(surveys.open.lock().is_empty());
    }
}

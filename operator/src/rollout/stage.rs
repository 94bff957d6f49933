//! How far a roll is, in words.

/// How far a roll is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Every gateway is of the current revision.
    #[default]
    Done,
    /// The current revision becomes ready.
    Starting { ready: usize, wanted: usize },
    /// Former gateways are out of the Service, or wait for their turn.
    Waiting { left: usize },
    /// A former gateway is being drained.
    Draining {
        pod: String,
        connections: u64,
        left: usize,
    },
    /// Something has to pass first.
    Held { reason: &'static str, message: String },
    /// It needs a person.
    Stalled { reason: &'static str, message: String },
}

impl Stage {
    /// The bus has to come back first.
    pub(super) fn bus_down(pod: &str) -> Self {
        Self::Held {
            reason: "BusDown",
            message: format!("bus down: gateway {pod} is not connected to NATS"),
        }
    }

    /// Nothing is known of a gateway; it needs a person when that lasts.
    pub(super) fn no_samples(pod: &str, late: bool) -> Self {
        let (reason, message) = ("NoSamples", format!("gateway {pod} does not answer"));
        if late {
            Self::Stalled { reason, message }
        } else {
            Self::Held { reason, message }
        }
    }

    /// Whether there is something between the fleet and the current revision.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Whether a roll goes on. Each of its steps has a bound: after it, the next step comes or the roll is stalled.
    pub fn goes_on(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. } | Self::Waiting { .. } | Self::Draining { .. }
        )
    }

    /// Reason of conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Done => "RolledOut",
            Self::Starting { .. } => "RevisionStarting",
            Self::Waiting { .. } => "RevisionCordoned",
            Self::Draining { .. } => "RevisionDraining",
            Self::Held { reason, .. } | Self::Stalled { reason, .. } => reason,
        }
    }

    /// For people. Numbers that change with every client are not in it: a status is not written for each of them.
    pub fn message(&self) -> String {
        match self {
            Self::Done => "every gateway is of the current revision".to_owned(),
            Self::Starting { ready, wanted } => {
                format!("{ready} of {wanted} gateways of the current revision are ready")
            }
            Self::Waiting { left } => {
                format!("{left} former gateways take no newcomers and wait to be drained")
            }
            Self::Draining { pod, left, .. } => {
                format!("gateway {pod} is being drained; {left} former gateways are left")
            }
            Self::Held { message, .. } => format!("the roll is held: {message}"),
            Self::Stalled { message, .. } => format!("the roll is stalled: {message}"),
        }
    }
}

//! What can be done about gateways, and how what has begun is written on a pod.

use k8s_openapi::jiff::Timestamp;

use super::Why;

/// Names of what is written on pods.
pub mod marks {
    /// Why the gateway shall go: `roll` or `scale-down`.
    pub const LEAVING: &str = "natter.dev/leaving";
    /// Since when the Service may not choose it, in RFC 3339.
    pub const CORDONED_AT: &str = "natter.dev/cordoned-at";
    /// When it is removed whatever is left, in RFC 3339.
    pub const DRAIN_UNTIL: &str = "natter.dev/drain-until";
    /// When it was put back into the Service, in RFC 3339: from then on it has its time to become ready.
    pub const ACCEPTED_AT: &str = "natter.dev/accepted-at";
    /// Kubernetes' own: pods of lower cost are removed first.
    pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    /// The cost of a gateway that shall be the next to go.
    pub const LOWEST_COST: &str = "-1000";
}

/// One thing to do. Each may be done again without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sets the pods of a former revision.
    Scale { revision: String, replicas: i32 },
    /// Takes a gateway out of the Service, by label, and tells it so.
    Cordon { pod: String, why: Why },
    /// Puts it back, and ends its drain.
    Accept { pod: String },
    /// Has its connections closed at `rate` a second.
    Drain {
        pod: String,
        rate: f64,
        until: Timestamp,
    },
    /// Ends its drain for now; it stays out of the Service, as if it were taken out now.
    Pause { pod: String },
    /// Makes it the first that its Deployment removes.
    Mark { pod: String },
    /// Has some of its connections closed, at `rate` a second.
    Shed {
        pod: String,
        connections: u64,
        rate: f64,
    },
}

impl Action {
    /// Every name, and that of the Secret with the tokens, which is written beside them.
    pub const NAMES: [&str; 8] = [
        "scale", "cordon", "accept", "drain", "pause", "mark", "shed", "tokens",
    ];

    /// The pod that it concerns.
    pub fn pod(&self) -> Option<&str> {
        match self {
            Self::Scale { .. } => None,
            Self::Cordon { pod, .. }
            | Self::Accept { pod }
            | Self::Drain { pod, .. }
            | Self::Pause { pod }
            | Self::Mark { pod }
            | Self::Shed { pod, .. } => Some(pod),
        }
    }

    /// Label of metrics and field of log lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "scale",
            Self::Cordon { .. } => "cordon",
            Self::Accept { .. } => "accept",
            Self::Drain { .. } => "drain",
            Self::Pause { .. } => "pause",
            Self::Mark { .. } => "mark",
            Self::Shed { .. } => "shed",
        }
    }
}

//! Which policy holds for a room: its name says which namespace it is in.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Degraded, DeltaKind, PayloadKind, RoomOptions, RoomSettings, Who},
    history::HistoryPolicy,
    metrics::{Metrics, NamespaceMetrics},
};

/// Label and log field of rooms without a namespace.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The policy of a group of rooms.
pub struct Namespace {
    pub options: RoomOptions,
    pub metrics: Arc<NamespaceMetrics>,
    /// Its rooms are durable.
    pub history: Option<Arc<HistoryPolicy>>,
}

/// All namespaces of one configuration.
pub struct Namespaces {
    default: Option<Arc<Namespace>>,
    named: HashMap<String, Arc<Namespace>>,
}

/// Who asks, as far as a policy cares.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub has_user: bool,
    pub is_member: bool,
}

impl Namespaces {
    pub fn new(settings: &RoomSettings, metrics: &Metrics) -> Self {
        let namespace = |name: &str, options: &RoomOptions| {
            Arc::new(Namespace {
                options: options.clone(),
                metrics: metrics.namespace(name),
                history: options.history.clone().map(|options| {
                    Arc::new(HistoryPolicy {
                        namespace: name.into(),
                        options,
                    })
                }),
            })
        };
        Self {
            default: settings
                .default
                .as_ref()
                .map(|options| namespace(DEFAULT_NAMESPACE, options)),
            named: settings
                .namespaces
                .iter()
                .map(|named| (named.name.clone(), namespace(&named.name, &named.options)))
                .collect(),
        }
    }

    /// The policies of all durable namespaces.
    pub fn durable(&self) -> Vec<Arc<HistoryPolicy>> {
        let namespaces = self.default.iter().chain(self.named.values());
        namespaces
            .filter_map(|namespace| namespace.history.clone())
            .collect()
    }

    /// `None` when the room is in no configured namespace.
    pub fn of(&self, channel: &str) -> Option<&Arc<Namespace>> {
        match natter_protocol::channel::namespace_of(channel) {
            Some(name) => self.named.get(name),
            None => self.default.as_ref(),
        }
    }
}

impl Namespace {
    pub fn may_subscribe(&self, asker: Asker) -> bool {
        allows(self.options.subscribe, asker)
    }

    /// While the bus is away its rooms go on among the members of this gateway.
    pub fn is_local_without_bus(&self) -> bool {
        self.history.is_none() && self.options.degraded == Degraded::Local
    }

    pub fn may_read_history(&self, asker: Asker) -> bool {
        self.history
            .as_ref()
            .is_some_and(|policy| allows(policy.options.read, asker))
    }

    /// Whether it is known who is in its rooms.
    pub fn keeps_members(&self) -> bool {
        self.options.presence || self.options.join_leave
    }

    pub fn may_read_presence(&self, asker: Asker) -> bool {
        self.options.presence && allows(self.options.presence_read, asker)
    }

    /// Whether a member is told who joins and leaves, which it has asked for or not.
    pub fn tells_joins(&self, asked: bool) -> bool {
        self.options.join_leave && (asked || self.options.force_push_join_leave)
    }

    /// Whether its messages may be any bytes.
    pub fn is_binary(&self) -> bool {
        self.options.payload == PayloadKind::Binary
    }

    /// Whether members may be given differences.
    pub fn has_deltas(&self) -> bool {
        self.options.delta == DeltaKind::Fossil
    }

    pub fn may_publish(&self, asker: Asker) -> bool {
        allows(self.options.publish, asker)
    }
}

fn allows(who: Who, asker: Asker) -> bool {
    match who {
        Who::Anyone => true,
        Who::Users => asker.has_user,
        Who::Subscribers => asker.is_member,
        Who::Server => false,
    }
}

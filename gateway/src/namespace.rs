//! Which policy holds for a room: its name says which namespace it is in.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Degraded, DeltaKind, PayloadKind, RoomOptions, RoomSettings, Who},
    history::HistoryPolicy,
    metrics::{Metrics, NamespaceMetrics},
    permission::{Expression, Operation},
};

/// Label and log field of rooms without a namespace.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The policy of a group of rooms.
pub struct Namespace {
    pub options: RoomOptions,
    pub metrics: Arc<NamespaceMetrics>,
    /// Its rooms are durable.
    pub history: Option<Arc<HistoryPolicy>>,
    expressions: Expressions,
}

/// Those that let clients do more, one for each operation.
struct Expressions([Option<Expression>; Operation::ALL.len()]);

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

impl Expressions {
    fn new(options: &RoomOptions) -> Self {
        // They were read when the settings were checked; one that could not be read would permit nothing.
        Self(Operation::ALL.map(|operation| Expression::new(Self::written(options, operation)?).ok()))
    }

    fn written(options: &RoomOptions, operation: Operation) -> Option<&str> {
        let text = match operation {
            Operation::Subscribe => &options.subscribe_cel,
            Operation::Publish => &options.publish_cel,
            Operation::Presence => &options.presence_cel,
            Operation::History => &options.history_cel,
        };
        text.as_deref()
    }

    fn of(&self, operation: Operation) -> Option<&Expression> {
        self.0[operation as usize].as_ref()
    }
}

impl Namespaces {
    pub fn new(settings: &RoomSettings, metrics: &Metrics) -> Self {
        let namespace = |name: &str, options: &RoomOptions| {
            Arc::new(Namespace {
                options: options.clone(),
                metrics: metrics.namespace(name),
                history: policy(name, options).map(Arc::new),
                expressions: Expressions::new(options),
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

    /// Whether an expression looks at the claims of tokens.
    pub fn use_claims(&self) -> bool {
        let namespaces = self.default.iter().chain(self.named.values());
        let mut expressions = namespaces.flat_map(|namespace| namespace.expressions.0.iter().flatten());
        expressions.any(Expression::uses_claims)
    }

    /// `None` when the room is in no configured namespace.
    pub fn of(&self, channel: &str) -> Option<&Arc<Namespace>> {
        match natter_protocol::channel::namespace_of(channel) {
            Some(name) => self.named.get(name),
            None => self.default.as_ref(),
        }
    }
}

/// The policies of all durable namespaces of a configuration, the rooms without a namespace first.
pub fn durable_policies(settings: &RoomSettings) -> Vec<HistoryPolicy> {
    let default = settings
        .default
        .iter()
        .map(|options| (DEFAULT_NAMESPACE, options));
    let named = settings
        .namespaces
        .iter()
        .map(|named| (named.name.as_str(), &named.options));
    default
        .chain(named)
        .filter_map(|(name, options)| policy(name, options))
        .collect()
}

fn policy(namespace: &str, options: &RoomOptions) -> Option<HistoryPolicy> {
    let options = options.history.clone()?;
    Some(HistoryPolicy {
        namespace: namespace.into(),
        options,
    })
}

impl Namespace {
    /// The group that may do it; `None`: it is not there to be done.
    pub fn who(&self, operation: Operation) -> Option<Who> {
        match operation {
            Operation::Subscribe => Some(self.options.subscribe),
            Operation::Publish => Some(self.options.publish),
            Operation::Presence => self.options.presence.then_some(self.options.presence_read),
            Operation::History => self.history.as_ref().map(|policy| policy.options.read),
        }
    }

    /// Whether a client may do it that brings nothing of its own.
    pub fn permits(&self, operation: Operation, asker: Asker) -> bool {
        match self.who(operation) {
            Some(Who::Anyone) => true,
            Some(Who::Users) => asker.has_user,
            Some(Who::Subscribers) => asker.is_member,
            // A backend is asked afterwards; about whom, an expression says where there is one.
            Some(Who::Token) => {
                self.has_proxy(operation) && Expressions::written(&self.options, operation).is_none()
            }
            Some(Who::Server) | None => false,
        }
    }

    pub fn expression(&self, operation: Operation) -> Option<&Expression> {
        self.expressions.of(operation)
    }

    fn has_proxy(&self, operation: Operation) -> bool {
        match operation {
            Operation::Subscribe => self.options.subscribe_proxy.is_some(),
            Operation::Publish => self.options.publish_proxy.is_some(),
            Operation::Presence | Operation::History => false,
        }
    }

    /// While the bus is away its rooms go on among the members of this gateway.
    pub fn is_local_without_bus(&self) -> bool {
        self.history.is_none() && self.options.degraded == Degraded::Local
    }

    /// Whether it is known who is in its rooms.
    pub fn keeps_members(&self) -> bool {
        self.options.presence || self.options.join_leave
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
}

//! What members of rooms may be given, and whether it is known who may not be one any more.

use std::sync::Arc;

use natter_protocol::channel;
use tracing::{Level, warn};

use super::{Gateway, Live};
use crate::{config::Who, namespace::Namespace, permission::Operation, publication::Publication};

impl Live {
    /// Whether somebody may be kept out of the room: it is not open to everybody, or nobody connects without a name. Only
    /// then it matters to know who may not be in it any more.
    pub fn has_access_rules(&self, namespace: &Namespace, channel: &str) -> bool {
        namespace.options.subscribe != Who::Anyone
            || !self.settings.allows_anonymous()
            || channel::is_private(channel)
            || !channel::admits(channel, "")
    }
}

impl Gateway {
    /// Whether nothing of the room may be given to anybody.
    pub fn holds_back(&self, live: &Live, namespace: &Namespace, channel: &str) -> bool {
        !self.revocations.is_current() && live.has_access_rules(namespace, channel)
    }

    /// The same of what is read in a room that everybody may join: where not everybody may read, whoever asks may be somebody
    /// who was kept out.
    pub fn holds_back_read(
        &self,
        live: &Live,
        namespace: &Namespace,
        channel: &str,
        operation: Operation,
    ) -> bool {
        let is_open = matches!(
            namespace.who(operation),
            None | Some(Who::Anyone | Who::Subscribers)
        );
        self.holds_back(live, namespace, channel) || (!is_open && !self.revocations.is_current())
    }

    /// Whether a publication is not given to the room's members, which is counted.
    pub(super) fn withholds(&self, channel: &str) -> bool {
        if self.revocations.is_current() {
            return false;
        }
        let live = self.live.load();
        let namespace = live.namespaces.of(channel);
        let withholds = namespace.is_some_and(|namespace| live.has_access_rules(namespace, channel));
        if withholds {
            self.revocations.withheld();
        }
        withholds
    }

    /// Whether members may be given it: where they may speak JSON nobody is given bytes, which another gateway with other
    /// settings has taken.
    pub(super) fn is_presentable(
        &self,
        channel: &str,
        namespace: Option<&Arc<Namespace>>,
        publication: &Publication,
    ) -> bool {
        let may = !publication.is_binary || namespace.is_some_and(|namespace| namespace.is_binary());
        if !may {
            self.metrics.bus.error("binary_payload");
            if self.log_budget.cause("binary_payload", Level::WARN).admit() {
                warn!(channel, "dropped bytes for a room of JSON texts");
            }
        }
        may
    }
}

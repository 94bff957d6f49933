//! Which gateways are there.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{NODE_LIFETIME, NodeInfo};

#[derive(Default)]
pub(super) struct Nodes {
    heard: Mutex<HashMap<Uuid, (Instant, NodeInfo)>>,
}

impl Nodes {
    /// Whether it was not there before.
    pub(super) fn hear(&self, info: NodeInfo) -> bool {
        let former = self.heard.lock().insert(info.uid, (Instant::now(), info));
        former.is_none_or(|(at, _)| at.elapsed() >= NODE_LIFETIME)
    }

    pub(super) fn forget(&self, node: Uuid) {
        self.heard.lock().remove(&node);
    }

    /// Sorted by name, so that answers are stable.
    pub(super) fn present(&self) -> Vec<NodeInfo> {
        let mut heard = self.heard.lock();
        heard.retain(|_, (at, _)| at.elapsed() < NODE_LIFETIME);
        let mut present: Vec<_> = heard.values().map(|(_, info)| info.clone()).collect();
        present.sort_by(|a, b| (&a.name, a.uid).cmp(&(&b.name, b.uid)));
        present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> NodeInfo {
        NodeInfo {
            uid: Uuid::new_v4(),
            name: name.into(),
            version: "1".into(),
            num_clients: 0,
            num_users: 0,
            num_subs: 0,
            num_channels: 0,
            uptime: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_gateways_are_forgotten() {
        let nodes = Nodes::default();
        nodes.hear(info("b"));
        tokio::time::advance(NODE_LIFETIME / 2).await;
        let a = info("a");
        assert!(nodes.hear(a.clone()), "a newcomer");
        assert!(!nodes.hear(a.clone()), "known by now");
        let names: Vec<_> = nodes.present().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["a", "b"]);
        tokio::time::advance(NODE_LIFETIME / 2).await;
        assert_eq!(nodes.present(), std::slice::from_ref(&a));
        tokio::time::advance(NODE_LIFETIME / 2).await;
        assert!(nodes.hear(a.clone()), "back after a silence");
        nodes.forget(a.uid);
        assert!(nodes.present().is_empty());
    }
}

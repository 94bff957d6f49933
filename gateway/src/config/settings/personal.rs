//! The room that every user has alone.

use serde::{Deserialize, Serialize};

/// Whether every client with a user id is in its user's own room from the beginning, by the name that Centrifugo gives
/// it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonalSettings {
    pub enabled: bool,
    /// Where these rooms are; `None` or empty, as Centrifugo has it: among those without a namespace.
    pub personal_channel_namespace: Option<String>,
}

impl PersonalSettings {
    pub fn namespace(&self) -> Option<&str> {
        let name = self.personal_channel_namespace.as_deref();
        name.filter(|name| !name.is_empty())
    }

    /// The room of a user.
    pub fn channel(&self, user: &str) -> String {
        match self.namespace() {
            Some(namespace) => format!("{namespace}:#{user}"),
            None => format!("#{user}"),
        }
    }
}

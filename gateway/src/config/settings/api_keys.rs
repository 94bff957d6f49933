//! Keys of the server API that may do less than everything.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ApiSettings, Secret};

/// Keys, and what they may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeySettings {
    /// In logs and metrics: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// Any of them.
    pub keys: Vec<Secret>,
    /// A file with more of them, one a line.
    pub keys_file: Option<PathBuf>,
    /// Methods of the server API; empty: all.
    pub methods: Vec<String>,
    /// Namespaces whose rooms it may name, `default` for rooms without one; empty: all.
    pub namespaces: Vec<String>,
}

impl ApiSettings {
    /// A shorter key can be guessed over the network.
    pub const KEY_LENGTH: usize = 16;

    /// Whether any key opens it.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.keys_file.is_some() || !self.scoped_keys.is_empty()
    }
}

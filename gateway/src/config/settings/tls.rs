//! TLS of the public port.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Files in PEM. None: clients speak without TLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate, and behind it those up to an authority that clients know.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The authorities of clients, which have to show a certificate then.
    pub client_ca_file: Option<PathBuf>,
}

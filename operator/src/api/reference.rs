//! References to objects of the same namespace. The operator reads none of them: pods mount them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A key of a Secret in the cluster's namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

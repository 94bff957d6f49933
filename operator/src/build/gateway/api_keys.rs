//! Keys of the server API that may do less than everything, from Secrets, as files of one directory.

use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde_json::{Value, json};

use super::{
    secret_files::{self, projection},
    template::mount,
};
use crate::api::config::GatewayConfig;

pub(in crate::build) const API_KEY_VOLUME: &str = "api-keys";
const DIRECTORY: &str = "/etc/natter-api-keys";

/// Writes where the files are into the configuration, in place of the Secrets that they come from.
pub(in crate::build) fn refer(entries: &mut Value) {
    for entry in entries.as_array_mut().into_iter().flatten() {
        let path = entry["name"].as_str().map(|name| format!("{DIRECTORY}/{name}"));
        let Some((path, fields)) = path.zip(entry.as_object_mut()) else {
            continue;
        };
        fields.remove("keys");
        fields.insert("keys_file".to_owned(), json!(path));
    }
}

/// The files, if there are any.
pub(super) fn volume(config: &GatewayConfig) -> Option<Volume> {
    let entries = config.api.iter().flat_map(|api| &api.scoped_keys);
    secret_files::volume(
        API_KEY_VOLUME,
        entries.map(|entry| projection(&entry.keys, entry.name.clone())),
    )
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(API_KEY_VOLUME, DIRECTORY)
}

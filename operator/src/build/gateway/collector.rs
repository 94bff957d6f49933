//! How gateways reach a collector of traces over TLS: what is in Secrets reaches them as files of one directory.

use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde_json::{Map, Value, json};

use super::{
    secret_files::{self, projection},
    template::mount,
};
use crate::api::{monitoring::Tracing, reference::SecretKey};

pub(in crate::build) const COLLECTOR_VOLUME: &str = "collector";
const DIRECTORY: &str = "/etc/natter-collector";

/// The part of the configuration below `tracing`.
pub(in crate::build) fn settings(tracing: &Tracing) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("otlp_endpoint".to_owned(), json!(tracing.otlp_endpoint));
    let ratio = tracing.sample_ratio.parse::<f64>().unwrap_or_default();
    settings.insert("sample_ratio".to_owned(), json!(ratio));
    for (setting, file, _) in files(tracing) {
        settings.insert(setting.to_owned(), json!(format!("{DIRECTORY}/{file}")));
    }
    settings
}

/// The files, if there are any.
pub(super) fn volume(tracing: &Tracing) -> Option<Volume> {
    let files = files(tracing);
    secret_files::volume(
        COLLECTOR_VOLUME,
        files
            .iter()
            .map(|(_, file, secret)| projection(secret, (*file).to_owned())),
    )
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(COLLECTOR_VOLUME, DIRECTORY)
}

/// Each setting with its file, and where that comes from.
fn files(tracing: &Tracing) -> Vec<(&'static str, &'static str, SecretKey)> {
    let of_pair = |key: &str| {
        let pair = tracing.client_certificate.as_ref();
        pair.map(|pair| SecretKey {
            name: pair.secret_name.clone(),
            key: key.to_owned(),
        })
    };
    [
        ("otlp_ca_file", "ca.crt", tracing.authority.clone()),
        ("otlp_certificate_file", "tls.crt", of_pair("tls.crt")),
        ("otlp_key_file", "tls.key", of_pair("tls.key")),
        ("otlp_headers_file", "headers", tracing.headers.clone()),
    ]
    .into_iter()
    .filter_map(|(setting, file, secret)| Some((setting, file, secret?)))
    .collect()
}

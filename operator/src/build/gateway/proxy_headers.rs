//! What gateways show the backends that they ask: headers from Secrets, as files of one directory.

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::{Value, json};

use super::template::mount;
use crate::api::config::{GatewayConfig, Proxy};

const VOLUME: &str = "proxies";
const DIRECTORY: &str = "/etc/natter-proxies";

/// Writes where the files are into the configuration, in place of the Secrets that they come from.
pub(in crate::build) fn refer(proxies: &mut Value) {
    for proxy in proxies.as_array_mut().into_iter().flatten() {
        let path = proxy["name"].as_str().map(|name| format!("{DIRECTORY}/{name}"));
        if let Some(fields) = proxy.as_object_mut()
            && fields.remove("static_headers").is_some()
        {
            fields.insert("static_headers_file".to_owned(), json!(path));
        }
    }
}

/// The files, if there are any.
pub(super) fn volume(config: &GatewayConfig) -> Option<Volume> {
    let sources: Vec<_> = config.proxies.iter().filter_map(projection).collect();
    (!sources.is_empty()).then(|| Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    })
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(VOLUME, DIRECTORY)
}

fn projection(proxy: &Proxy) -> Option<VolumeProjection> {
    let secret = proxy.static_headers.as_ref()?;
    Some(VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: Some(vec![KeyToPath {
                key: secret.key.clone(),
                path: proxy.name.clone(),
                mode: None,
            }]),
            optional: Some(false),
        }),
        ..VolumeProjection::default()
    })
}

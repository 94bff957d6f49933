//! What gateways show the backends that they ask, and by what they judge them: headers and authorities from Secrets, as files
//! of one directory.

use k8s_openapi::api::core::v1::{Volume, VolumeMount, VolumeProjection};
use serde_json::{Value, json};

use super::{
    secret_files::{self, projection},
    template::mount,
};
use crate::api::config::{GatewayConfig, Proxy};

const VOLUME: &str = "proxies";
const DIRECTORY: &str = "/etc/natter-proxies";
/// Behind the name of a proxy, which has no dot.
const AUTHORITIES: &str = ".pem";

/// Writes where the files are into the configuration, in place of the Secrets that they come from.
pub(in crate::build) fn refer(proxies: &mut Value) {
    for proxy in proxies.as_array_mut().into_iter().flatten() {
        let path = proxy["name"].as_str().map(|name| format!("{DIRECTORY}/{name}"));
        let Some((path, fields)) = path.zip(proxy.as_object_mut()) else {
            continue;
        };
        if fields.remove("static_headers").is_some() {
            fields.insert("static_headers_file".to_owned(), json!(path));
        }
        if let Some(file) = fields.get_mut("ca_file") {
            *file = json!(path + AUTHORITIES);
        }
    }
}

/// The files, if there are any.
pub(super) fn volume(config: &GatewayConfig) -> Option<Volume> {
    secret_files::volume(VOLUME, config.proxies.iter().flat_map(projections))
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(VOLUME, DIRECTORY)
}

fn projections(proxy: &Proxy) -> impl Iterator<Item = VolumeProjection> {
    let headers = proxy.static_headers.as_ref();
    let headers = headers.map(|secret| projection(secret, proxy.name.clone()));
    let authorities = proxy.ca_file.as_ref();
    let authorities = authorities.map(|secret| projection(secret, format!("{}{AUTHORITIES}", proxy.name)));
    headers.into_iter().chain(authorities)
}

//! Keys by which gateways judge the tokens of clients, from Secrets, as files of one directory.

use k8s_openapi::api::core::v1::{Volume, VolumeMount, VolumeProjection};
use serde_json::{Value, json};

use super::{
    secret_files::{self, projection},
    template::mount,
};
use crate::api::config::{GatewayConfig, Issuer};

const VOLUME: &str = "tokens";
const DIRECTORY: &str = "/etc/natter-tokens";
/// Behind the name of an issuer, which has no dot: where each key of the configuration comes from, what it is called there, and
/// the ending of its file.
const FILES: [(&str, &str, &str); 3] = [
    ("hmac_secrets", "hmac_secrets_file", ".secrets"),
    ("public_keys_file", "public_keys_file", ".pem"),
    ("jwks_ca_file", "jwks_ca_file", ".ca.pem"),
];

/// Writes where the files are into the configuration, in place of the Secrets that they come from.
pub(in crate::build) fn refer(issuers: &mut Value) {
    for issuer in issuers.as_array_mut().into_iter().flatten() {
        let path = issuer["name"].as_str().map(|name| format!("{DIRECTORY}/{name}"));
        let Some((path, fields)) = path.zip(issuer.as_object_mut()) else {
            continue;
        };
        for (from, to, ending) in FILES {
            if fields.remove(from).is_some() {
                fields.insert(to.to_owned(), json!(format!("{path}{ending}")));
            }
        }
    }
}

/// The files, if there are any.
pub(super) fn volume(config: &GatewayConfig) -> Option<Volume> {
    secret_files::volume(VOLUME, config.tokens.iter().flat_map(projections))
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(VOLUME, DIRECTORY)
}

fn projections(issuer: &Issuer) -> impl Iterator<Item = VolumeProjection> {
    let secrets = [
        &issuer.hmac_secrets,
        &issuer.public_keys_file,
        &issuer.jwks_ca_file,
    ];
    secrets
        .into_iter()
        .zip(FILES)
        .filter_map(|(secret, (_, _, ending))| {
            let secret = secret.as_ref()?;
            Some(projection(secret, format!("{}{ending}", issuer.name)))
        })
}

//! How gateways get into an external NATS: what is in Secrets reaches them as files of one directory, or as variables.

use k8s_openapi::api::core::v1::{
    EnvVar, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::{Map, Value, json};

use super::template::mount;
use crate::{
    api::{bus::ExternalNats, reference::SecretKey},
    build::pod,
};

/// Addresses with the password in them, which `bus.nats.servers` in the file would show.
pub(in crate::build) const NATS_SERVERS: &str = "NATTER_BUS_NATS_SERVERS";
const VOLUME: &str = "nats";
const DIRECTORY: &str = "/etc/natter-nats";
const AUTHORITY: &str = "ca.crt";
const CREDENTIALS: &str = "user.creds";
/// The keys of a Secret of type `kubernetes.io/tls`, and the files' names.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The part of the configuration below `bus.nats`.
pub(in crate::build) fn settings(nats: &ExternalNats) -> Map<String, Value> {
    let mut settings = Map::new();
    // With a user's name and password they are a variable, which Kubernetes puts together.
    if nats.credentials.is_none() {
        settings.insert("servers".to_owned(), json!(nats.servers));
    }
    let client = nats.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref());
    for (setting, is_there, file) in [
        ("credentials_file", nats.credentials_file.is_some(), CREDENTIALS),
        ("ca_file", nats.tls.is_some(), AUTHORITY),
        ("certificate_file", client.is_some(), CERTIFICATE),
        ("key_file", client.is_some(), KEY),
    ] {
        if is_there {
            settings.insert(setting.to_owned(), json!(format!("{DIRECTORY}/{file}")));
        }
    }
    settings
}

/// The files, if there are any.
pub(super) fn volume(nats: &ExternalNats) -> Option<Volume> {
    let of_key = |secret: &SecretKey, file| projection(&secret.name, vec![(secret.key.as_str(), file)]);
    let mut sources: Vec<_> = nats
        .credentials_file
        .iter()
        .map(|secret| of_key(secret, CREDENTIALS))
        .collect();
    if let Some(tls) = &nats.tls {
        sources.push(of_key(&tls.authority, AUTHORITY));
        let client = tls.client_certificate.as_ref();
        sources.extend(
            client
                .map(|client| projection(&client.secret_name, vec![(CERTIFICATE, CERTIFICATE), (KEY, KEY)])),
        );
    }
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

/// User and password, and the addresses that they are put into.
pub(super) fn environment(nats: &ExternalNats) -> Vec<EnvVar> {
    let Some(credentials) = &nats.credentials else {
        return Vec::new();
    };
    let secret = &credentials.secret_name;
    let addresses: Vec<_> = nats
        .servers
        .iter()
        .map(|url| url.replacen("://", "://$(NATS_USERNAME):$(NATS_PASSWORD)@", 1))
        .collect();
    vec![
        pod::env_of_secret("NATS_USERNAME", secret, &credentials.username_key),
        pod::env_of_secret("NATS_PASSWORD", secret, &credentials.password_key),
        pod::env(NATS_SERVERS, addresses.join(",")),
    ]
}

fn projection(secret: &str, files: Vec<(&str, &str)>) -> VolumeProjection {
    let items = files.into_iter().map(|(key, path)| KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode: None,
    });
    VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.to_owned(),
            items: Some(items.collect()),
            optional: Some(false),
        }),
        ..VolumeProjection::default()
    }
}

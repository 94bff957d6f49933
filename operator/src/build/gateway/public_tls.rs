//! The certificate of the gateways' port for clients, from a Secret as cert-manager writes it, as files of one directory. A new
//! certificate reaches running gateways through it.

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::{Map, Value, json};

use super::{secret_files::projection, template::mount};
use crate::api::gateways::GatewayTls;

pub(in crate::build) const TLS_VOLUME: &str = "tls";
const DIRECTORY: &str = "/etc/natter-tls";
/// The keys of a Secret of type `kubernetes.io/tls`, and the files' names.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The authorities of clients: apart from the `ca.crt` that the same Secret may have.
const AUTHORITIES: &str = "clients.pem";

/// The part of the configuration below `http.tls`.
pub(in crate::build) fn settings(tls: &GatewayTls) -> Map<String, Value> {
    let mut settings = Map::new();
    let clients = tls.client_authority.as_ref().map(|_| AUTHORITIES);
    for (setting, file) in [
        ("certificate_file", Some(CERTIFICATE)),
        ("key_file", Some(KEY)),
        ("client_ca_file", clients),
    ] {
        if let Some(file) = file {
            settings.insert(setting.to_owned(), json!(format!("{DIRECTORY}/{file}")));
        }
    }
    settings
}

pub(super) fn volume(tls: &GatewayTls) -> Volume {
    let item = |name: &str| KeyToPath {
        key: name.to_owned(),
        path: name.to_owned(),
        mode: None,
    };
    let pair = VolumeProjection {
        secret: Some(SecretProjection {
            name: tls.secret_name.clone(),
            items: Some(vec![item(CERTIFICATE), item(KEY)]),
            optional: Some(false),
        }),
        ..VolumeProjection::default()
    };
    let clients = tls.client_authority.as_ref();
    let clients = clients.map(|secret| projection(secret, AUTHORITIES.to_owned()));
    Volume {
        name: TLS_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(std::iter::once(pair).chain(clients).collect()),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn volume_mount() -> VolumeMount {
    mount(TLS_VOLUME, DIRECTORY)
}

//! Keys of Secrets as files of one directory.

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeProjection,
};

use crate::api::reference::SecretKey;

/// The files, if there are any.
pub(super) fn volume(name: &str, files: impl Iterator<Item = VolumeProjection>) -> Option<Volume> {
    let sources: Vec<_> = files.collect();
    (!sources.is_empty()).then(|| Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    })
}

pub(super) fn projection(secret: &SecretKey, file: String) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: Some(vec![KeyToPath {
                key: secret.key.clone(),
                path: file,
                mode: None,
            }]),
            optional: Some(false),
        }),
        ..VolumeProjection::default()
    }
}

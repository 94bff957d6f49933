//! Files of `tests/fixtures`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use natter_operator::{
    api::ChatCluster,
    validate::{Invalid, OperatorDefaults, ValidCluster, validate},
};
use serde::Deserialize;

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// What a folder holds, in order.
pub(crate) fn entries(name: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// The expected message in the first line, and the documents.
pub(crate) fn documents(path: &Path) -> (String, Vec<serde_json::Value>) {
    let text = fs::read_to_string(path).unwrap();
    let message = text
        .lines()
        .next()
        .unwrap()
        .strip_prefix("# ")
        .unwrap_or_default()
        .to_owned();
    let documents = serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| serde_json::Value::deserialize(document).unwrap())
        .collect();
    (message, documents)
}

/// The cluster of a build fixture as the pipeline sees it.
pub(crate) fn cluster(folder: &Path) -> Result<ValidCluster, Invalid> {
    let text = fs::read_to_string(folder.join("cluster.yaml")).unwrap();
    let cluster: ChatCluster = serde_yaml_ng::from_str(&text).unwrap();
    let defaults = OperatorDefaults {
        gateway_image: "registry.example/natter-gateway:0.1.0".to_owned(),
    };
    validate(&cluster, &defaults)
}

/// Compares a committed file with what is generated, or writes it when `NATTER_UPDATE_FIXTURES` is set.
pub(crate) fn compare(path: &Path, generated: &str) {
    if env::var_os("NATTER_UPDATE_FIXTURES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, generated).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what is generated; `just generate` writes it\n{}",
        path.display(),
        first_difference(&committed, generated)
    );
}

fn first_difference(committed: &str, generated: &str) -> String {
    let pairs = committed.lines().zip(generated.lines()).enumerate();
    pairs.into_iter().find(|(_, (a, b))| a != b).map_or_else(
        || "one is longer".to_owned(),
        |(line, (a, b))| format!("line {}:\n- {a}\n+ {b}", line + 1),
    )
}

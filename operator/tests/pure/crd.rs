//! The committed definition is the one that the types say.

use std::path::Path;

use natter_operator::crd;

use crate::fixtures;

#[test]
fn the_committed_definition_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/chatclusters.natter.dev.yaml");
    fixtures::compare(&path, &crd::yaml().unwrap());
}

/// `kubectl apply` keeps a copy in an annotation, which has a limit of 256 KiB.
#[test]
fn the_definition_is_small_enough_for_kubectl_apply() {
    let json = serde_json::to_string(&crd::chat_cluster().unwrap()).unwrap();
    assert!(json.len() < 200 * 1024, "{} bytes", json.len());
}

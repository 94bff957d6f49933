//! All objects of a cluster, as files that a change shows.

use natter_operator::{build, build::Built};

use crate::fixtures;

fn yaml(built: &Built) -> String {
    let documents: Vec<_> = built
        .objects
        .iter()
        .map(|object| serde_yaml_ng::to_string(&object.value).unwrap())
        .collect();
    format!("---\n{}", documents.join("---\n"))
}

#[test]
fn fixtures_build_what_is_committed() {
    for folder in fixtures::entries("build") {
        let built = build::build(&fixtures::cluster(&folder).unwrap()).unwrap();
        fixtures::compare(&folder.join("objects.yaml"), &yaml(&built));
    }
}

#[test]
fn every_object_is_owned_labelled_and_named_once() {
    for folder in fixtures::entries("build") {
        let built = build::build(&fixtures::cluster(&folder).unwrap()).unwrap();
        let mut names: Vec<_> = built
            .objects
            .iter()
            .map(|object| (object.kind, object.name()))
            .collect();
        names.dedup();
        assert_eq!(names.len(), built.objects.len());
        for object in &built.objects {
            let metadata = &object.value.metadata;
            assert!(object.name().len() <= 63, "{}", object.name());
            assert_eq!(
                metadata.labels.as_ref().unwrap()[build::MANAGED_BY],
                build::OPERATOR
            );
            assert_eq!(
                metadata.owner_references.as_ref().unwrap()[0].controller,
                Some(true)
            );
            let text = serde_json::to_string(&object.value).unwrap();
            assert!(!text.contains("\"status\":"), "{text}");
        }
    }
}

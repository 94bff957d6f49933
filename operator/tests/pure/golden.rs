//! All objects of a cluster, as files that a change shows.

use std::path::Path;

use natter_operator::{build, build::Built, kinds::Kind};
use serde_json::{Value, json};

use crate::fixtures;

fn yaml(built: &Built) -> String {
    let documents: Vec<_> = built
        .objects
        .iter()
        .map(|object| {
            let mut object = object.value.clone();
            shorten(&mut object.data);
            serde_yaml_ng::to_string(&object).unwrap()
        })
        .collect();
    format!("---\n{}", documents.join("---\n"))
}

/// Dashboards are files of their own, compared elsewhere.
fn shorten(object: &mut Value) {
    let data = object.get_mut("data").and_then(Value::as_object_mut);
    for (name, value) in data.into_iter().flatten() {
        if Path::new(name).extension().is_some_and(|kind| kind == "json") {
            *value = json!("(as in charts/natter/monitoring/dashboards)");
        }
    }
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

#[test]
fn alerts_are_about_this_cluster_alone() {
    let folder = fixtures::folder("build").join("everything");
    let built = build::build(&fixtures::cluster(&folder).unwrap()).unwrap();
    let rule = built
        .objects
        .iter()
        .find(|object| object.kind == Kind::PrometheusRule)
        .unwrap();
    let groups = rule.value.data["spec"]["groups"].as_array().unwrap();
    let rules: Vec<_> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 10);
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap();
        assert!(
            expression.contains(r#"namespace="prod", job="prod/chat-gateway""#),
            "{expression}"
        );
        assert!(!expression.contains("job=~"), "{expression}");
    }
}

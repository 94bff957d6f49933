//! The `OpenAPI` description against what the router does.

use std::collections::BTreeSet;

use super::*;
use crate::api::{BATCH, COMMANDS, METHODS, openapi, rest};

const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn description() -> Value {
    serde_json::from_str(openapi::DESCRIPTION).unwrap()
}

fn paths(description: &Value) -> BTreeSet<String> {
    description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// Every object anywhere below.
fn each_object(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            see(object);
            object.values().for_each(|value| each_object(value, see));
        }
        Value::Array(items) => items.iter().for_each(|value| each_object(value, see)),
        _ => {}
    }
}

#[test]
fn every_method_and_every_resource_is_described_and_nothing_else() {
    let methods = METHODS.iter().map(|method| format!("/api/{method}"));
    let resources = rest::RESOURCES.iter().map(|(path, _)| (*path).to_owned());
    let all = methods.chain(resources).chain(["/api".to_owned()]);
    assert_eq!(paths(&description()), all.collect());
}

#[test]
fn a_batch_takes_every_method_but_itself() {
    let commands = &description()["components"]["schemas"]["Command"]["properties"];
    let commands: BTreeSet<_> = commands.as_object().unwrap().keys().map(String::as_str).collect();
    let methods = METHODS.into_iter().filter(|method| *method != BATCH);
    assert_eq!(commands, methods.collect());
}

/// Without a key, what there is answers 401; what there is not, 405.
#[tokio::test]
async fn a_path_takes_the_verbs_that_are_described() {
    let api = Api::new();
    let description = description();
    for path in paths(&description) {
        let uri = path.replace("{room}", "kept:room");
        for verb in VERBS {
            let request = Request::builder().method(verb.to_uppercase().as_str()).uri(&uri);
            let status = api.ask(request, "{}").await.status;
            let operation = &description["paths"][&path][verb];
            assert_eq!(
                status,
                if operation.is_null() { 405 } else { 401 },
                "{verb} {path}"
            );
        }
    }
}

/// Of several calls in one request each says by itself what its key may not do.
#[test]
fn every_operation_says_what_becomes_of_wrong_keys() {
    let description = description();
    for path in paths(&description) {
        let several = path == "/api" || path.ends_with("/batch");
        for operation in VERBS
            .iter()
            .filter_map(|verb| description["paths"][&path].get(*verb))
        {
            let answers = operation["responses"].as_object().unwrap();
            let expected = ["401", "429"].into_iter().chain((!several).then_some("403"));
            for status in expected {
                assert!(answers.contains_key(status), "{path}: {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let description = description();
    let mut count = 0;
    each_object(&description, &mut |object| {
        if let Some(Value::String(reference)) = object.get("$ref") {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| description.pointer(pointer));
            assert!(target.is_some(), "{reference}");
            count += 1;
        }
    });
    assert!(count > 50, "{count}");
}

#[test]
fn every_component_is_used() {
    let description = description();
    for kind in ["schemas", "parameters", "responses"] {
        for name in description["components"][kind].as_object().unwrap().keys() {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(openapi::DESCRIPTION.contains(&reference), "{reference}");
        }
    }
}

#[test]
fn operations_are_named_once_and_as_the_metrics_name_them() {
    let description = description();
    let mut names = BTreeSet::new();
    for path in description["paths"].as_object().unwrap().values() {
        for operation in VERBS.iter().filter_map(|verb| path.get(*verb)) {
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(
                operation["responses"]
                    .as_object()
                    .is_some_and(|all| all.len() > 1),
                "{operation}"
            );
        }
    }
    let others = ["publish_message", "list_messages", "remove_messages", COMMANDS];
    assert_eq!(
        names,
        METHODS.into_iter().chain(others).map(str::to_owned).collect()
    );
}

#[tokio::test]
async fn the_description_is_served_without_a_key() {
    let answer = Api::new()
        .ask(Request::builder().uri("/openapi.json"), Body::empty())
        .await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, description()));
    assert_eq!(answer.headers["content-type"], "application/json");
}

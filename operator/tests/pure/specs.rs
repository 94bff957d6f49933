//! Rules of the schema, evaluated here with the expressions that the API server runs. What only its schema refuses (types,
//! patterns, lists) is told apart by its expected message, which then names a field.

use std::path::Path;

use natter_operator::api::ChatCluster;
use serde_json::Value;

use crate::fixtures;

fn read(document: &Value) -> Result<ChatCluster, String> {
    serde_json::from_value(document.clone()).map_err(|error| error.to_string())
}

/// Whether the message is one of a rule.
fn is_rule(message: &str) -> bool {
    !message.starts_with("spec.") && message != "Duplicate value" && message != "tracing.sampleRatio"
}

#[test]
fn accepted_specs_break_no_rule() {
    for path in fixtures::entries("specs/accepted") {
        let (_, documents) = fixtures::documents(&path);
        let cluster = read(&documents[0]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        cluster
            .validate_cel()
            .unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
    }
}

#[test]
fn refused_specs_break_the_rule_that_they_name() {
    for path in fixtures::entries("specs/refused") {
        let (message, documents) = fixtures::documents(&path);
        if is_rule(&message) {
            let errors = read(&documents[0]).unwrap().validate_cel().expect_err(&message);
            expect(&path, &message, &format!("{errors:?}"));
        }
    }
}

#[test]
fn refused_changes_break_the_rule_that_they_name() {
    for path in fixtures::entries("specs/updates") {
        let (message, documents) = fixtures::documents(&path);
        let (old, new) = (read(&documents[0]).unwrap(), read(&documents[1]).unwrap());
        new.validate_cel()
            .unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        let errors = new.validate_cel_update(&old).expect_err(&message);
        expect(&path, &message, &format!("{errors:?}"));
    }
}

fn expect(path: &Path, message: &str, errors: &str) {
    assert!(errors.contains(message), "{}: {errors}", path.display());
}

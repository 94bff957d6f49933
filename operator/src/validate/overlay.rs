//! The part of a pod template that a user lays over ours. The schema lets everything pass, so a misspelt field is found here.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::Invalid;
use crate::{api::gateways::PodTemplate, fleet::marks};

/// Fields of a pod that the operator decides, with the reason for the person who wants to change them.
const DECIDED: [(&str, &str); 3] = [
    ("terminationGracePeriodSeconds", "follows from the drain"),
    ("serviceAccountName", "is the cluster's own"),
    ("restartPolicy", "must be Always"),
];

pub(super) fn parse(
    field: &'static str,
    template: Option<&PodTemplate>,
) -> Result<Option<PodTemplateSpec>, Invalid> {
    let Some(PodTemplate(written)) = template else {
        return Ok(None);
    };
    let invalid = |problem: String| Invalid::Field { field, problem };
    let parsed: PodTemplateSpec =
        serde_json::from_value(complete(written)).map_err(|error| invalid(error.to_string()))?;
    let understood = serde_json::to_value(&parsed).map_err(|error| invalid(error.to_string()))?;
    if let Some(path) = unknown(written, &understood) {
        return Err(invalid(format!("{path} is not a field of a pod template")));
    }
    if let Some((name, reason)) = DECIDED
        .iter()
        .find(|(name, _)| written["spec"].get(name).is_some())
    {
        return Err(invalid(format!(
            "spec.{name} is decided by the operator: it {reason}"
        )));
    }
    if let Some(label) = owned_label(&parsed) {
        return Err(invalid(format!("label {label} is decided by the operator")));
    }
    if let Some(annotation) = owned_annotation(&parsed) {
        return Err(invalid(format!(
            "annotation {annotation} is decided by the operator"
        )));
    }
    Ok(Some(parsed))
}

/// A pod needs containers; an overlay does not.
fn complete(written: &Value) -> Value {
    let mut value = written.clone();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.entry("containers")
            .or_insert_with(|| Value::Array(Vec::new()));
    }
    value
}

fn owned_label(template: &PodTemplateSpec) -> Option<&str> {
    let labels = template.metadata.as_ref()?.labels.as_ref()?;
    let owned = |label: &&String| label.starts_with("natter.dev/") || label.starts_with("app.kubernetes.io/");
    labels.keys().find(owned).map(String::as_str)
}

/// How far a gateway is on its way out stands in annotations; one in the template would make every pod leave for ever.
fn owned_annotation(template: &PodTemplateSpec) -> Option<&str> {
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    let owned = |name: &&String| name.starts_with("natter.dev/") || *name == marks::DELETION_COST;
    annotations.keys().find(owned).map(String::as_str)
}

/// The first path that is written and was not understood. Empty values may vanish on the way: they say nothing.
fn unknown(written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), _) => written.iter().find_map(|(key, value)| match understood.get(key) {
            None if is_empty(value) => None,
            None => Some(key.clone()),
            Some(below) => unknown(value, below).map(|path| format!("{key}.{path}")),
        }),
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (written, understood))| {
                unknown(written, understood).map(|path| format!("[{index}].{path}"))
            }),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(template: Value) -> String {
        parse("gateways.podTemplate", Some(&PodTemplate(template)))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_misspelt_field_is_named_by_its_path() {
        let template =
            json!({"spec": {"containers": [{"name": "gateway", "resource": {"limits": {}, "x": 1}}]}});
        assert_eq!(
            problem(template),
            "spec.gateways.podTemplate: spec.containers.[0].resource is not a field of a pod template"
        );
    }

    #[test]
    fn what_the_operator_decides_is_refused() {
        assert!(
            problem(json!({"spec": {"terminationGracePeriodSeconds": 5}})).contains("follows from the drain")
        );
        let labelled = json!({"metadata": {"labels": {"natter.dev/accepting": "false"}}});
        assert!(problem(labelled).contains("natter.dev/accepting"));
        for name in ["natter.dev/leaving", "controller.kubernetes.io/pod-deletion-cost"] {
            let annotated = json!({"metadata": {"annotations": {(name): "roll"}}});
            assert!(problem(annotated).contains(name));
        }
    }

    #[test]
    fn wrong_types_are_refused() {
        assert!(problem(json!({"spec": {"nodeSelector": "fast"}})).contains("gateways.podTemplate"));
    }

    #[test]
    fn parts_without_containers_are_enough() {
        let template = PodTemplate(json!({"spec": {"nodeSelector": {"disk": "fast"}, "tolerations": []}}));
        assert!(parse("gateways.podTemplate", Some(&template)).unwrap().is_some());
    }
}

//! The custom resource definition as it is committed in `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::api::ChatCluster;

/// The definition. What may be left out may not be null: the API server then removes a null, and no rule has to expect one.
pub fn chat_cluster() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(ChatCluster::crd())?;
    remove_nullable(&mut definition);
    serde_json::from_value(definition)
}

/// The definition in YAML.
pub fn yaml() -> anyhow::Result<String> {
    Ok(serde_yaml_ng::to_string(&chat_cluster()?)?)
}

fn remove_nullable(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                if let Some(Value::Array(values)) = object.get_mut("enum") {
                    values.retain(|value| !value.is_null());
                }
            }
            object.values_mut().for_each(remove_nullable);
        }
        Value::Array(array) => array.iter_mut().for_each(remove_nullable),
        _ => {}
    }
}

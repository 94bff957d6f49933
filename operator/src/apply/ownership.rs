//! Fields that somebody added by hand. Server-side apply alone leaves them: they belong to whoever wrote them. What an object
//! of ours shall be is ours to say, so their owner's entry is made ours; the next apply then removes what we do not want.
//!
//! Only what decides about the object is taken, `spec` and `data`: labels and annotations of others stay, and so does what is
//! written through a subresource (`status`, `scale`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::api::DynamicObject;
use serde_json::{Map, Value};

use crate::build::OPERATOR;

const DECIDES: [&str; 2] = ["f:spec", "f:data"];

/// The owners' entries with all that decides in ours; `None`: it is already so.
pub(super) fn taken_over(object: &DynamicObject) -> Option<Vec<ManagedFieldsEntry>> {
    let mut entries = object.metadata.managed_fields.clone()?;
    let ours = entries
        .iter()
        .position(|entry| is_ours(entry) && entry.operation.as_deref() == Some("Apply"))?;
    let mut taken = Value::Object(Map::new());
    for entry in entries
        .iter_mut()
        .filter(|entry| !is_ours(entry) && entry.subresource.is_none())
    {
        let Some(fields) = entry
            .fields_v1
            .as_mut()
            .and_then(|fields| fields.0.as_object_mut())
        else {
            continue;
        };
        for name in DECIDES {
            if let Some(below) = fields.remove(name) {
                unite(
                    &mut taken,
                    Value::Object([(name.to_owned(), below)].into_iter().collect()),
                );
            }
        }
    }
    if taken == Value::Object(Map::new()) {
        return None;
    }
    let fields = entries[ours]
        .fields_v1
        .get_or_insert_with(|| FieldsV1(Value::Object(Map::new())));
    unite(&mut fields.0, taken);
    // An entry that owns nothing is not allowed.
    entries.retain(|entry| !owns_nothing(entry));
    Some(entries)
}

/// Also what admission changed in an apply of ours.
fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(OPERATOR) && entry.subresource.is_none()
}

fn owns_nothing(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object());
    fields.is_none_or(Map::is_empty)
}

/// Field sets are trees of objects, so that their union is a merge.
fn unite(fields: &mut Value, more: Value) {
    match (fields, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, below) in more {
                unite(
                    fields.entry(name).or_insert_with(|| Value::Object(Map::new())),
                    below,
                );
            }
        }
        (fields, more) => *fields = more,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Kind;

    fn object(entries: Value) -> DynamicObject {
        let mut object = DynamicObject::new("chat", &Kind::ConfigMap.api_resource());
        object.metadata.managed_fields = Some(serde_json::from_value(entries).unwrap());
        object
    }

    fn ours(fields: Value) -> Value {
        json!({"manager": OPERATOR, "operation": "Apply", "fieldsV1": fields})
    }

    #[test]
    fn what_somebody_added_becomes_ours_and_nothing_else_does() {
        let object = object(json!([
            ours(json!({"f:data": {"f:a": {}}})),
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {
                "f:metadata": {"f:annotations": {"f:note": {}}}, "f:data": {"f:b": {}},
            }},
            {"manager": "editor", "operation": "Update", "fieldsV1": {"f:data": {"f:c": {}}}},
            {"manager": "autoscaler", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        ]));
        let entries = serde_json::to_value(taken_over(&object).unwrap()).unwrap();
        assert_eq!(
            entries,
            json!([
                ours(json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}})),
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:annotations": {"f:note": {}}}}},
                {"manager": "autoscaler", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ])
        );
    }

    #[test]
    fn nothing_is_taken_where_nobody_added_anything() {
        let status = json!({"manager": "kubelet", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}});
        let admission =
            json!({"manager": OPERATOR, "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}});
        assert_eq!(
            taken_over(&object(json!([ours(json!({"f:spec": {}})), status, admission]))),
            None
        );
    }
}

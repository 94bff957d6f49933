//! Requests and limits, which Kubernetes compares only when it is to make the pods.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{Invalid, quantity};

/// Refuses a request above its limit, and what is no quantity.
pub(super) fn check(field: &'static str, resources: &ResourceRequirements) -> Result<(), Invalid> {
    let invalid = |problem: String| Invalid::Field { field, problem };
    let number = |name: &str, quantity| {
        quantity::number(quantity)
            .ok_or_else(|| invalid(format!("{name}: {:?} is not a quantity", quantity.0)))
    };
    for (name, limit) in resources.limits.iter().flatten() {
        let most = number(name, limit)?;
        let Some(request) = resources
            .requests
            .as_ref()
            .and_then(|requests| requests.get(name))
        else {
            continue;
        };
        if number(name, request)? > most {
            return Err(invalid(format!(
                "the request of {name}, {}, is above its limit, {}",
                request.0, limit.0
            )));
        }
    }
    for (name, request) in resources.requests.iter().flatten() {
        number(name, request)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problem(resources: Value) -> Option<String> {
        let resources = serde_json::from_value(resources).unwrap();
        check("gateways.resources", &resources)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_request_above_its_limit_is_refused() {
        let above =
            json!({"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2G"}});
        assert_eq!(
            problem(above).as_deref(),
            Some("spec.gateways.resources: the request of memory, 2Gi, is above its limit, 2G")
        );
        let equal = json!({"requests": {"cpu": "1500m"}, "limits": {"cpu": "1.5", "memory": "1e9"}});
        assert_eq!(problem(equal), None);
        let unreadable = json!({"requests": {"cpu": "much"}});
        assert!(problem(unreadable).is_some_and(|text| text.contains("\"much\" is not a quantity")));
    }
}

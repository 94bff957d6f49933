//! What holds whatever the values are.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::helm::{ALL_APIS, NAMESPACE, RELEASE, Render, chart, identity, values};

/// Kinds without a namespace.
const CLUSTER_WIDE: [&str; 3] = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];

/// Each with a Kubernetes that knows nothing but itself, and with one that knows every API of the chart.
pub(crate) fn matrix() -> Vec<Render> {
    let files = [
        values("everything"),
        values("namespaced"),
        values("nothing"),
        chart().join("values-ha.yaml"),
    ];
    let with_files = files.iter().map(|file| Render::new().values(file));
    let plain: Vec<_> = std::iter::once(Render::new()).chain(with_files).collect();
    let with_apis: Vec<_> = plain
        .iter()
        .cloned()
        .map(|render| render.apis(&ALL_APIS))
        .collect();
    [plain, with_apis].concat()
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_about() -> Result<()> {
    for render in matrix().into_iter().take(5) {
        let finished = render.lint().await?;
        ensure!(
            finished.success && !finished.stdout.contains("[WARNING]"),
            "{render:?}: {}\n{}",
            finished.stdout,
            finished.stderr
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_object_has_a_place_of_its_own_and_says_what_it_belongs_to() -> Result<()> {
    for render in matrix() {
        let mut seen = BTreeSet::new();
        for manifest in render.manifests().await? {
            let name = identity(&manifest);
            let metadata = &manifest["metadata"];
            let kind = manifest["kind"].as_str().unwrap_or_default();
            let place = metadata["namespace"].as_str();
            ensure!(
                place.is_some() != CLUSTER_WIDE.contains(&kind),
                "{name} is in {place:?}"
            );
            ensure!(
                seen.insert((name.clone(), place.map(str::to_owned))),
                "{name} is there twice"
            );
            // What the user wrote is the user's.
            if name != "ConfigMap/extra" {
                let labels = &metadata["labels"];
                ensure!(
                    labels["app.kubernetes.io/part-of"] == "natter",
                    "{name}: {labels}"
                );
            }
        }
        ensure!(!seen.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn every_pod_is_restricted_and_bounded() -> Result<()> {
    for render in matrix() {
        let manifests = render.manifests().await?;
        let pods: Vec<_> = manifests.iter().filter_map(pod).collect();
        ensure!(pods.len() == 2, "the operator and the test: {}", pods.len());
        for pod in pods {
            let security = &pod["securityContext"];
            ensure!(security["runAsNonRoot"] == true, "{security}");
            ensure!(
                security["seccompProfile"]["type"] == "RuntimeDefault",
                "{security}"
            );
            let container = &pod["containers"][0];
            let wanted = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            });
            ensure!(container["securityContext"] == wanted, "{container}");
            for bound in [
                "/resources/requests/cpu",
                "/resources/requests/memory",
                "/resources/limits/memory",
            ] {
                ensure!(container.pointer(bound).is_some(), "no {bound} in {container}");
            }
            let image = container["image"].as_str().unwrap_or_default();
            ensure!(image.contains(':') && !image.ends_with(":latest"), "{image}");
        }
    }
    Ok(())
}

fn pod(manifest: &Value) -> Option<&Value> {
    match manifest["kind"].as_str()? {
        "Pod" => manifest.get("spec"),
        "Deployment" => manifest.pointer("/spec/template/spec"),
        _ => None,
    }
}

/// A selector that asks for more than the pods have would leave a Deployment, budget, policy or monitor without pods.
#[tokio::test]
async fn selectors_find_the_pods_of_the_operator() -> Result<()> {
    for render in matrix() {
        let manifests = render.manifests().await?;
        let deployment = manifests.iter().find(|manifest| manifest["kind"] == "Deployment");
        let labels = deployment.and_then(|deployment| deployment.pointer("/spec/template/metadata/labels"));
        for manifest in &manifests {
            let selectors = ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels"];
            for wanted in selectors
                .iter()
                .filter_map(|path| manifest.pointer(path)?.as_object())
            {
                for (key, value) in wanted {
                    ensure!(
                        labels.and_then(|labels| labels.get(key)) == Some(value),
                        "{}: {key}",
                        identity(manifest)
                    );
                }
            }
        }
    }
    Ok(())
}

/// Roles, bindings and accounts fit together, in the right namespaces.
#[tokio::test]
async fn the_operator_is_bound_to_its_roles() -> Result<()> {
    for (render, watched) in [
        (Render::new(), None),
        (Render::new().values(&values("namespaced")), Some("chat")),
    ] {
        let manifests = render.manifests().await?;
        let account = format!("{RELEASE}-natter-operator");
        let (kind, binding) = match watched {
            None => ("ClusterRole", "ClusterRoleBinding"),
            Some(_) => ("Role", "RoleBinding"),
        };
        let mut bound = BTreeSet::new();
        for manifest in manifests
            .iter()
            .filter(|manifest| manifest.get("roleRef").is_some())
        {
            let subject = json!([{ "kind": "ServiceAccount", "name": account, "namespace": NAMESPACE }]);
            ensure!(manifest["subjects"] == subject, "{manifest}");
            let role = manifests.iter().find(|role| {
                role["kind"] == manifest["roleRef"]["kind"]
                    && role["metadata"]["name"] == manifest["roleRef"]["name"]
                    && role["metadata"]["namespace"] == manifest["metadata"]["namespace"]
            });
            ensure!(role.is_some(), "{}: no such role", identity(manifest));
            bound.insert((
                manifest["kind"].to_string(),
                manifest["metadata"]["namespace"].as_str(),
            ));
        }
        let wanted = [
            (format!("{binding:?}"), watched),
            ("\"RoleBinding\"".to_owned(), Some(NAMESPACE)),
        ];
        ensure!(bound == BTreeSet::from(wanted), "{bound:?}");
        let main = manifests
            .iter()
            .find(|role| role["kind"] == kind && role["metadata"]["name"] == account.as_str());
        let rules = main.and_then(|role| role["rules"].as_array().cloned());
        let rules = rules.unwrap_or_default();
        let about = |resource: &str| {
            let rules = rules
                .iter()
                .filter(|rule| rule["resources"].to_string().contains(resource));
            rules.map(|rule| rule["verbs"].to_string()).collect::<Vec<_>>()
        };
        ensure!(!about("chatclusters/status").is_empty(), "{rules:?}");
        // The tokens of control calls are written; nothing lists or watches Secrets.
        ensure!(about("secrets") == [r#"["patch","create"]"#], "{rules:?}");
    }
    Ok(())
}

//! An operator that may do what the chart's roles for one namespace say, and nothing else, through all that happens to a cluster:
//! made, rolled, scaled, its NATS restarted, deleted.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use natter_operator::kinds::Kind;
use natter_tests::kubernetes::{Operator, OperatorBuilder};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Kubelet, LIMIT, Scenario};

const RULES: &str = include_str!("../../../charts/natter/templates/_rules.tpl");
const ROLES: &str = include_str!("../../../charts/natter/templates/rbac.yaml");
const ACCOUNT: &str = "operator";

/// The rules between two marks of a template, which hold nothing to be filled in.
fn rules(template: &str, begin: &str, end: &str) -> Result<Vec<PolicyRule>> {
    let (_, rest) = template.split_once(begin).context("no rules begin")?;
    let (text, _) = rest.split_once(end).context("no rules end")?;
    Ok(serde_yaml_ng::from_str(text)?)
}

/// Of the operator's Role, and of that by which it leads.
fn all_rules() -> Result<Vec<PolicyRule>> {
    let mut all = rules(RULES, r#"{{- define "natter.rules" -}}"#, "{{- end -}}")?;
    all.extend(rules(ROLES, "-leader\n  namespace: {{ .Release.Namespace }}\n  labels:\n    {{- include \"natter.labels\" . | nindent 4 }}\nrules:\n", "---")?);
    Ok(all)
}

/// Makes an account with these rules; the answer is its token.
async fn account(scenario: &Scenario) -> Result<String> {
    let (client, namespace) = (&scenario.client, scenario.namespace.as_str());
    let named = json!({"metadata": {"name": ACCOUNT}});
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let wanted: ServiceAccount = serde_json::from_value(named.clone())?;
    accounts.create(&PostParams::default(), &wanted).await?;
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    let mut role: Role = serde_json::from_value(named)?;
    role.rules = Some(all_rules()?);
    roles.create(&PostParams::default(), &role).await?;
    let binding = json!({
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    let binding: RoleBinding = serde_json::from_value(binding)?;
    bindings.create(&PostParams::default(), &binding).await?;
    let (parameters, request) = (PostParams::default(), TokenRequest::default());
    let asked = accounts.create_token_request(ACCOUNT, &parameters, &request);
    Ok(asked.await?.status.context("no token")?.token)
}

/// An operator that is nobody but that account.
async fn operator(scenario: &Scenario, folder: &std::path::Path) -> Result<Operator> {
    let token = account(scenario).await?;
    let mut kubeconfig: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(scenario.kubeconfig())?)?;
    for user in kubeconfig["users"].as_array_mut().context("no users")? {
        user["user"] = json!({"token": token});
    }
    let path = folder.join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    OperatorBuilder::new(path)
        .flag("--namespace", &scenario.namespace)
        .flag("--lease-namespace", &scenario.namespace)
        .start()
        .await
}

fn spec(release: u32, replicas: u32) -> Value {
    json!({"spec": {
        "image": format!("registry.example/natter-gateway:{release}"),
        "gateways": {
            "replicas": replicas,
            "config": {"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}},
        },
        "bus": {"managed": {"replicas": 3, "image": format!("registry.example/nats:{release}")}},
    }})
}

#[tokio::test]
async fn the_role_of_one_namespace_is_enough_for_all_that_happens() -> Result<()> {
    let scenario = Scenario::start().await?;
    let folder = tempfile::tempdir()?;
    let operator = operator(&scenario, folder.path()).await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", spec(1, 3)).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let former = scenario.objects().deployment("chat").await?.name_any();
    scenario.apply("chat", spec(2, 3)).await?;
    scenario.objects().wait_gone(Kind::Deployment, &former).await?;
    scenario.apply("chat", spec(2, 2)).await?;
    eventually("all of it happened", LIMIT, async || {
        let metrics = operator.metrics().await?;
        let count = |family: &str, labels: &[(&str, &str)]| metrics.value(family, labels).unwrap_or_default();
        for action in ["cordon", "drain", "mark", "tokens"] {
            let done = count(
                "natter_operator_actions_total",
                &[("action", action), ("result", "done")],
            );
            ensure!(done > 0.5, "{action}: {done}");
        }
        let deleted = count(
            "natter_operator_writes_total",
            &[("kind", "Deployment"), ("verb", "delete")],
        );
        let restarts = metrics.sum("natter_operator_nats_restarts_total");
        ensure!(
            deleted > 0.5 && restarts > 2.5,
            "{deleted} deleted, {restarts} restarts"
        );
        Ok(())
    })
    .await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario.event("chat", "UpToDate").await?;
    scenario.delete("chat").await?;
    scenario.event("chat", "Retained").await?;
    let lines = operator.logs();
    let forbidden = lines
        .iter()
        .map(|line| format!("{line:?}"))
        .find(|line| line.contains("forbidden"));
    ensure!(forbidden.is_none(), "{forbidden:?}");
    Ok(())
}

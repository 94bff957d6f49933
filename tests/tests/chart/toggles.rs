//! What each value turns on and off.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::examples::examples;
use crate::helm::{ALL_APIS, NAMESPACE, Render, chart, count, find, values};

const DEFINITION: &str = "CustomResourceDefinition/chatclusters.natter.dev";

#[tokio::test]
async fn the_definition_is_that_of_the_repository_and_stays_by_default() -> Result<()> {
    let copy = std::fs::read_to_string(chart().join("files/chatclusters.natter.dev.yaml"))?;
    let copy: Value = serde_yaml_ng::from_str(&copy)?;
    for (keep, policy) in [(true, json!("keep")), (false, Value::Null)] {
        let manifests = Render::new()
            .set(&format!("crds.keep={keep}"))
            .manifests()
            .await?;
        let definition = find(&manifests, DEFINITION)?;
        ensure!(
            definition["spec"] == copy["spec"],
            "the definition was changed on its way"
        );
        let annotation = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
        ensure!(*annotation == policy, "{annotation}");
    }
    let without = Render::new().set("crds.install=false").manifests().await?;
    ensure!(count(&without, "CustomResourceDefinition") == 0);
    Ok(())
}

#[tokio::test]
async fn objects_of_other_projects_need_their_apis() -> Result<()> {
    let render = Render::new().values(&values("everything"));
    let without = render.manifests().await?;
    let with = render.clone().apis(&ALL_APIS).manifests().await?;
    for kind in ["PodMonitor", "PrometheusRule", "ChatCluster"] {
        ensure!(count(&without, kind) == 0 && count(&with, kind) == 1, "{kind}");
    }
    let notes = render.notes().await?;
    for left_out in [
        "the ChatCluster was left out",
        "PodMonitor and PrometheusRule were left out",
        "crds.keep is false",
    ] {
        ensure!(notes.contains(left_out), "{notes}");
    }
    let by_default = Render::new().apis(&ALL_APIS).manifests().await?;
    for kind in ["PodMonitor", "PrometheusRule", "ChatCluster", "ConfigMap"] {
        ensure!(count(&by_default, kind) == 0, "{kind}");
    }
    ensure!(!Render::new().notes().await?.contains("ATTENTION"));
    Ok(())
}

#[tokio::test]
async fn alerts_and_dashboards_lead_to_the_chosen_runbooks() -> Result<()> {
    let manifests = Render::new()
        .values(&values("everything"))
        .apis(&ALL_APIS)
        .manifests()
        .await?;
    let rule = find(&manifests, "PrometheusRule/edge-chat")?;
    let groups = rule["spec"]["groups"].as_array().context("no groups")?;
    let rules: Vec<_> = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
        .collect();
    let alerts: Vec<_> = rules.iter().filter(|rule| rule.get("alert").is_some()).collect();
    ensure!(alerts.len() >= 18, "{} alerts", alerts.len());
    for alert in alerts {
        let page = format!(
            "https://wiki.example/natter/{}",
            alert["alert"].as_str().unwrap_or_default()
        );
        ensure!(alert["annotations"]["runbook_url"] == page.as_str(), "{alert}");
        // Written for Prometheus, and left alone by helm.
        ensure!(alert["annotations"].to_string().contains("{{ $"), "{alert}");
    }
    let boards: Vec<_> = manifests
        .iter()
        .filter(|manifest| manifest["metadata"]["labels"]["dashboards"] == "yes")
        .collect();
    ensure!(boards.len() == 6, "{} dashboards", boards.len());
    for board in boards {
        ensure!(board["metadata"]["namespace"] == "monitoring", "{board}");
        let data = board["data"].as_object().context("no data")?;
        for text in data.values().filter_map(Value::as_str) {
            ensure!(!text.contains("natter.dev/runbooks") && text.contains("https://wiki.example/natter/"));
            serde_json::from_str::<Value>(text)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_is_told_what_the_values_say() -> Result<()> {
    let manifests = Render::new().values(&values("everything")).manifests().await?;
    let deployment = find(&manifests, "Deployment/edge-chat-operator")?;
    ensure!(deployment["spec"]["replicas"] == 3);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let digest = container["image"].as_str().unwrap_or_default();
    ensure!(
        digest.starts_with("registry.example/operator@sha256:"),
        "{digest}"
    );
    let variable = |name: &str| {
        let all = container["env"].as_array()?;
        all.iter()
            .find(|variable| variable["name"] == name)?
            .get("value")
            .cloned()
    };
    for (name, value) in [
        ("NATTER_OPERATOR_GATEWAY_IMAGE", "registry.example/gateway:1.2.3"),
        ("NATTER_OPERATOR_LOG_LEVEL", "info,natter_operator=debug"),
        ("NATTER_OPERATOR_LOG_FORMAT", "pretty"),
        (
            "NATTER_OPERATOR_OTLP_ENDPOINT",
            "http://collector.monitoring:4318",
        ),
        ("NO_PROXY", ".svc"),
    ] {
        ensure!(
            variable(name) == Some(json!(value)),
            "{name}: {:?}",
            variable(name)
        );
    }
    ensure!(variable("NATTER_OPERATOR_NAMESPACE").is_none());
    let namespaced = Render::new().values(&values("namespaced")).manifests().await?;
    let text = find(&namespaced, "Deployment/edge-natter-operator")?.to_string();
    ensure!(
        text.contains(r#"{"name":"NATTER_OPERATOR_NAMESPACE","value":"chat"}"#),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_budget_guards_more_than_one_operator() -> Result<()> {
    for (replicas, budgets) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        let manifests = Render::new()
            .set(&format!("operator.replicas={replicas}"))
            .manifests()
            .await?;
        ensure!(count(&manifests, "PodDisruptionBudget") == budgets, "{replicas}");
    }
    Ok(())
}

#[tokio::test]
async fn the_test_talks_to_the_cluster_of_the_values() -> Result<()> {
    let arguments = |manifests: &[Value], name: &str| -> Result<Value> {
        let pod = find(manifests, name)?;
        ensure!(pod["metadata"]["annotations"]["helm.sh/hook"] == "test", "{pod}");
        Ok(pod["spec"]["containers"][0]["args"].clone())
    };
    let found = arguments(&Render::new().manifests().await?, "Pod/edge-natter-test")?;
    let url = format!("--url=ws://chat.{NAMESPACE}.svc");
    ensure!(
        found == json!(["probe", url, "--room=natter-probe", "--time-limit=30s"]),
        "{found}"
    );
    let manifests = Render::new().values(&values("everything")).manifests().await?;
    let found = arguments(&manifests, "Pod/edge-chat-test")?;
    let wanted = json!([
        "probe",
        "--url=ws://talk.rooms.svc",
        "--header=X-User: probe",
        "--room=team:probe",
        "--time-limit=30s"
    ]);
    ensure!(found == wanted, "{found}");
    let two = Render::new()
        .set(r#"test.urls=["ws://a:8000","ws://b:8000"]"#)
        .manifests()
        .await?;
    let found = arguments(&two, "Pod/edge-natter-test")?;
    ensure!(
        found[1] == "--url=ws://a:8000" && found[2] == "--url=ws://b:8000",
        "{found}"
    );
    Ok(())
}

/// The commands at the head of the user guide, in their order: what the last one asks is where the second one puts it.
#[tokio::test]
async fn the_test_of_the_documented_installation_finds_its_cluster() -> Result<()> {
    let guide = include_str!("../../../docs/kubernetes.md");
    let (_, rest) = guide.split_once("```sh\n").context("no commands")?;
    let (commands, _) = rest.split_once("```").context("the commands do not end")?;
    let lines: Vec<_> = commands.lines().collect();
    ensure!(lines.len() == 4 && lines[3].starts_with("helm test"), "{lines:?}");
    let (_, value) = lines[0].split_once("--set-json '").context("no value")?;
    let value = value.trim_end_matches('\'');
    let manifests = Render::new().set(value).manifests().await?;
    let pod = find(&manifests, "Pod/edge-natter-test")?;
    let flag = |line: &str| {
        let (_, rest) = line.split_once("--namespace ")?;
        rest.split(' ').next().map(str::to_owned)
    };
    let namespace = flag(lines[1]).context("no namespace")?;
    ensure!(flag(lines[2]).as_ref() == Some(&namespace), "{lines:?}");
    let file = lines[1].rsplit(' ').next().unwrap_or_default();
    let example = examples()?.into_iter().find(|(name, _)| file.ends_with(name));
    let (_, cluster) = example.with_context(|| format!("no {file}"))?;
    let name = cluster["metadata"]["name"].as_str().unwrap_or_default();
    ensure!(cluster["metadata"]["namespace"].is_null(), "{cluster}");
    ensure!(lines[2].contains(&format!("chatcluster/{name} ")), "{lines:?}");
    let url = &pod["spec"]["containers"][0]["args"][1];
    ensure!(*url == format!("--url=ws://{name}.{namespace}.svc"), "{url}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_and_more_manifests_come_from_the_values() -> Result<()> {
    let manifests = Render::new()
        .values(&values("everything"))
        .apis(&ALL_APIS)
        .manifests()
        .await?;
    let cluster = find(&manifests, "ChatCluster/talk")?;
    ensure!(cluster["metadata"]["namespace"] == "rooms", "{cluster}");
    ensure!(cluster["spec"]["gateways"]["replicas"] == 3, "{cluster}");
    let extra = find(&manifests, "ConfigMap/extra")?;
    ensure!(
        extra["data"]["chart"] == "natter" && extra["metadata"]["namespace"] == NAMESPACE,
        "{extra}"
    );
    Ok(())
}

//! All objects of a cluster, as files that a change shows.

use std::path::Path;

use natter_gateway::bus::{Permissions, Subjects};
use natter_operator::{build, build::Object, kinds::Kind};
use serde_json::{Value, json};

use crate::fixtures;

fn yaml(objects: &[Object]) -> String {
    let documents: Vec<_> = objects
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
        fixtures::compare(&folder.join("objects.yaml"), &yaml(&built.objects));
    }
}

#[test]
fn another_text_of_restarted_at_is_another_revision() {
    let folder = fixtures::folder("build").join("everything");
    let cluster = fixtures::cluster(&folder).unwrap();
    let built = build::build(&cluster).unwrap();
    let mut changed = cluster.clone();
    changed.spec.gateways.restarted_at = Some("later".to_owned());
    let restarted = build::build(&changed).unwrap();
    assert_ne!(built.revision, restarted.revision, "a text of its own is a roll");
    let template = |built: &build::Built| {
        let mut deployments = built
            .objects
            .iter()
            .filter(|object| object.kind == Kind::Deployment);
        deployments.next().unwrap().value.data["spec"]["template"].clone()
    };
    let annotation = &template(&restarted)["metadata"]["annotations"]["natter.dev/restarted-at"];
    assert_eq!(annotation, "later");
}

#[test]
fn the_job_that_deletes_streams_is_what_is_committed() {
    for name in ["everything", "external", "long-name"] {
        let folder = fixtures::folder("build").join(name);
        let deletion = build::build_stream_deletion(&fixtures::cluster(&folder).unwrap()).unwrap();
        let job = deletion.objects.last().unwrap();
        assert_eq!((job.kind, job.name()), (Kind::Job, deletion.job));
        fixtures::compare(
            &folder.join("stream-deletion.yaml"),
            &yaml(std::slice::from_ref(job)),
        );
    }
}

/// What gateways select, and what is selected as a gateway.
#[test]
fn the_pod_that_deletes_streams_is_no_gateway() {
    let folder = fixtures::folder("build").join("everything");
    let cluster = fixtures::cluster(&folder).unwrap();
    let deletion = build::build_stream_deletion(&cluster).unwrap();
    let job = &deletion.objects.last().unwrap().value.data["spec"]["template"];
    let labels = job["metadata"]["labels"].as_object().unwrap();
    let mut selectors = 0;
    for object in build::build(&cluster).unwrap().objects {
        let spec = &object.value.data["spec"];
        for selector in [&spec["selector"], &spec["podSelector"]] {
            let selector = selector.get("matchLabels").unwrap_or(selector);
            if let Some(selector) = selector.as_object() {
                selectors += 1;
                let all = selector
                    .iter()
                    .all(|(name, value)| labels.get(name) == Some(value));
                assert!(!all, "{} selects {labels:?}", object.name());
            }
        }
    }
    assert!(selectors > 5);
}

#[test]
fn streams_are_told_by_the_names_that_gateways_give_them() {
    let names = build::Names::new("team-a", "chat-2");
    let prefix = Subjects::new(&names.bus_prefix()).stream_prefix();
    assert_eq!(names.streams(), format!("{prefix}*"));
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

/// It asks for no password and shows names of rooms.
#[test]
fn the_monitoring_port_of_nats_is_open_to_who_is_listed_alone() {
    let sources = |name: &str| {
        let cluster = fixtures::cluster(&fixtures::folder("build").join(name)).unwrap();
        let built = build::build(&cluster).unwrap();
        let of_servers =
            |object: &&Object| object.kind == Kind::NetworkPolicy && object.name() == built.names.nats();
        let policy = built.objects.iter().find(of_servers).unwrap();
        let rules = policy.value.data["spec"]["ingress"].as_array().unwrap();
        let monitoring = |rule: &&Value| {
            rule["ports"]
                .as_array()
                .unwrap()
                .iter()
                .any(|port| port["port"] == 8222)
        };
        let sources: Vec<_> = rules
            .iter()
            .filter(monitoring)
            .map(|rule| rule["from"].clone())
            .collect();
        (sources, json!(cluster.spec.exposure.network_policy.ops_from))
    };
    assert_eq!(sources("minimal"), (vec![], json!([])));
    let (open, listed) = sources("everything");
    assert_eq!(open, [listed]);
}

#[test]
fn a_managed_nats_has_the_users_of_the_gateways_code() {
    let folder = fixtures::folder("build").join("minimal");
    let cluster = fixtures::cluster(&folder).unwrap();
    let built = build::build(&cluster).unwrap();
    let permissions = Permissions::of_any_namespaces(&built.names.bus_prefix());
    let users = natter_gateway::nats_permissions::nats_conf(&permissions);
    let of_servers = |object: &&Object| object.kind == Kind::ConfigMap && object.name() == built.names.nats();
    let servers = built.objects.iter().find(of_servers).unwrap();
    let conf = servers.value.data["data"]["nats.conf"].as_str().unwrap();
    assert!(
        conf.ends_with(&format!("authorization {{\n{users}}}\n")),
        "run: cargo run -p natter-gateway -- nats-permissions --any-namespaces @prefix@ > operator/src/build/nats/users.conf"
    );
}

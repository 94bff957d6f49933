//! The gateways' settings in the custom resource against the gateway's own.

use std::{collections::BTreeSet, fs, path::Path};

use natter_gateway::config::{Environment, Loader, Settings};
use natter_operator::{build, build::Built, crd, kinds::Kind};
use serde_json::Value;

use crate::fixtures;

/// Keys that the operator decides.
const DECIDED: [&str; 27] = [
    "listen",
    "ops_listen",
    "ops.control.token_file",
    "node_name",
    "api.keys",
    "api.keys_file",
    "api.scoped_keys[].keys_file",
    "http.tls.certificate_file",
    "http.tls.key_file",
    "http.tls.client_ca_file",
    "proxies[].static_headers_file",
    "tokens[].hmac_secrets_file",
    "bus.prefix",
    "bus.nats.servers",
    "bus.nats.credentials_file",
    "bus.nats.ca_file",
    "bus.nats.certificate_file",
    "bus.nats.key_file",
    "bus.nats.name",
    "drain.deadline",
    "log.format",
    "tracing.otlp_endpoint",
    "tracing.otlp_ca_file",
    "tracing.otlp_certificate_file",
    "tracing.otlp_key_file",
    "tracing.otlp_headers_file",
    "tracing.sample_ratio",
];

/// The rows of `docs/configuration.md`, which a test of the gateway keeps true: key, default, whether a reload applies it.
fn rows() -> Vec<(String, String, bool)> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = fs::read_to_string(document).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split(" | ").collect();
        let [key, _, _, default, reload, ..] = cells.as_slice() else {
            return None;
        };
        Some((
            (*key).trim_matches('`').to_owned(),
            (*default).to_owned(),
            *reload == "yes",
        ))
    };
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    assert!(rows.len() > 60);
    rows
}

/// The keys of the resource's `config` in the gateway's spelling, with their descriptions.
fn keys() -> Vec<(String, String)> {
    let definition = serde_json::to_value(crd::chat_cluster().unwrap()).unwrap();
    let config = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["gateways"]["properties"]["config"];
    let mut keys = Vec::new();
    collect("", config, &mut keys);
    keys
}

fn collect(path: &str, schema: &Value, keys: &mut Vec<(String, String)>) {
    let (path, schema) = match &schema["items"]["properties"] {
        Value::Object(_) => (format!("{path}[]"), &schema["items"]),
        _ => (path.to_owned(), schema),
    };
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let name = build::snake(name);
        let path = if path.is_empty() {
            name
        } else {
            format!("{path}.{name}")
        };
        let description = below["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        keys.push((path.clone(), description));
        if path != "api.keys"
            && path != "api.scoped_keys[].keys"
            && !path.ends_with(".static_headers")
            && !path.ends_with(".ca_file")
        {
            collect(&path, below, keys);
        }
    }
}

#[test]
fn every_setting_of_the_gateway_is_in_the_resource_or_the_operators() {
    let known: BTreeSet<_> = keys().into_iter().map(|(key, _)| key).collect();
    let missing: Vec<_> = rows()
        .into_iter()
        .map(|(key, ..)| key)
        .filter(|key| !known.contains(key) && !DECIDED.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "the ChatCluster lacks {missing:?}");
}

#[test]
fn descriptions_name_the_gateways_defaults() {
    let rows = rows();
    for (key, description) in keys() {
        let Some((_, default, _)) = rows.iter().find(|(row, ..)| *row == key) else {
            continue;
        };
        // Sections and required keys have none; who may join is stricter in a cluster than at the first start, and in the schema.
        let said = ["`null`", "`[]`", "required"].contains(&default.as_str())
            || key.starts_with("rooms.default")
            || key == "client.anonymous";
        if !said && !key.ends_with("subscribe") && !key.ends_with("publish") {
            assert!(
                description.ends_with(&format!("Default: {default}.")),
                "{key}: {description:?}, {default}"
            );
        }
    }
}

#[test]
fn what_needs_a_restart_is_what_the_gateway_says() {
    for (key, _, reload) in rows() {
        let listed = build::RESTART.iter().any(|restart| {
            key == *restart || (!restart.ends_with("history") && key.starts_with(&format!("{restart}.")))
        });
        assert_eq!(listed, !reload, "{key}");
    }
}

fn settings(built: &Built, secrets: &[(&str, &str)]) -> Settings {
    let map = built
        .objects
        .iter()
        .find(|object| object.kind == Kind::ConfigMap && object.name().contains("gateway"))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, map.value.data["data"]["gateway.yaml"].as_str().unwrap()).unwrap();
    let environment: Environment = secrets.iter().copied().collect();
    Loader::new(environment)
        .with_file(file)
        .load()
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// What Kubernetes makes of the addresses and a Secret.
const SERVERS: (&str, &str) = (
    "NATTER_BUS_NATS_SERVERS",
    "tls://user:password@nats-0.example:4222",
);

#[test]
fn the_gateway_accepts_every_configuration_that_is_built() {
    for folder in fixtures::entries("build") {
        let cluster = fixtures::cluster(&folder).unwrap();
        let built = build::build(&cluster).unwrap();
        let external = cluster.spec.bus.external.as_ref();
        let in_address = external.is_none_or(|nats| nats.credentials.is_some());
        let secrets: &[_] = if in_address { &[SERVERS] } else { &[] };
        let settings = settings(&built, secrets);
        assert_eq!(settings.drain.accept, cluster.drain.accept);
        assert_eq!(settings.drain.duration, cluster.drain.duration);
        assert!(settings.bus.nats.is_some());
    }
}

//! The custom resources that documents and chart show, against the schema of the definition. Its rules in CEL are for an API server.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::helm::{ALL_APIS, Render, chart, find, values};

pub(crate) fn parse(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).context("no YAML"))
        .collect()
}

fn schema() -> Result<Value> {
    let text = std::fs::read_to_string(chart().join("files/chatclusters.natter.dev.yaml"))?;
    let definition = parse(&text)?.remove(0);
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    Ok(schema.context("no schema")?.clone())
}

/// Every file of `docs/examples/` with a `ChatCluster`.
pub(crate) fn examples() -> Result<Vec<(String, Value)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for document in parse(&std::fs::read_to_string(&path)?).with_context(|| name.clone())? {
            if document["kind"] == "ChatCluster" {
                found.push((name.clone(), document));
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn every_example_fits_the_schema() -> Result<()> {
    let schema = schema()?;
    let mut clusters = examples()?;
    ensure!(clusters.len() >= 5, "{} examples", clusters.len());
    let everything = Render::new()
        .values(&values("everything"))
        .apis(&ALL_APIS)
        .manifests()
        .await?;
    clusters.push((
        "everything.yaml".to_owned(),
        find(&everything, "ChatCluster/talk")?.clone(),
    ));
    let by_default = Render::new()
        .set("chatCluster.enabled=true")
        .apis(&ALL_APIS)
        .manifests()
        .await?;
    clusters.push((
        "values.yaml".to_owned(),
        find(&by_default, "ChatCluster/chat")?.clone(),
    ));
    let annotations = parse(&std::fs::read_to_string(chart().join("Chart.yaml"))?)?.remove(0);
    let shown = annotations["annotations"]["artifacthub.io/crdsExamples"]
        .as_str()
        .context("no example")?;
    for example in parse(shown)?.remove(0).as_array().context("no list")? {
        clusters.push(("Chart.yaml".to_owned(), example.clone()));
    }
    for (file, cluster) in clusters {
        ensure!(
            cluster["apiVersion"] == "natter.dev/v1alpha1",
            "{file}: {}",
            cluster["apiVersion"]
        );
        fits(&schema, &cluster["spec"], "spec").with_context(|| file)?;
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_found() -> Result<()> {
    let schema = schema()?;
    let (_, sound) = examples()?.remove(0);
    for (pointer, value, fault) in [
        ("/gateways/replica", Value::from(1), "is no field"),
        ("/gateways/replicas", Value::from("2"), "is no integer"),
        ("/gateways/replicas", Value::from(-1), "is below"),
        ("/deletionPolicy", Value::from("Keep"), "is none of"),
        (
            "/exposure",
            serde_json::json!({ "ingress": {} }),
            "hosts is missing",
        ),
    ] {
        let mut spec = sound["spec"].clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        spec.pointer_mut(parent).context("no parent")?[key] = value;
        let error = fits(&schema, &spec, "spec").expect_err(pointer).to_string();
        ensure!(error.contains(fault), "{pointer}: {error}");
    }
    Ok(())
}

/// Fields, types, enumerations and bounds; what the schema leaves open is not looked at.
fn fits(schema: &Value, value: &Value, path: &str) -> Result<()> {
    if let Some(allowed) = schema["enum"].as_array() {
        ensure!(allowed.contains(value), "{path}: {value} is none of {allowed:?}");
    }
    if schema["x-kubernetes-int-or-string"] == true || schema["x-kubernetes-preserve-unknown-fields"] == true
    {
        return Ok(());
    }
    let kind = schema["type"].as_str();
    let of_kind = match kind {
        Some("object") => return object(schema, value, path),
        Some("array") => value.is_array(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        other => bail!("{path}: the schema has the type {other:?}"),
    };
    ensure!(of_kind, "{path} is no {}", kind.unwrap_or_default());
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema[name].as_f64();
        ensure!(
            bound("minimum").is_none_or(|least| number >= least),
            "{path} is below its minimum"
        );
        ensure!(
            bound("maximum").is_none_or(|most| number <= most),
            "{path} is above its maximum"
        );
    }
    let items = value.as_array().into_iter().flatten();
    items
        .into_iter()
        .try_for_each(|item| fits(&schema["items"], item, path))
}

fn object(schema: &Value, value: &Value, path: &str) -> Result<()> {
    let fields = value
        .as_object()
        .with_context(|| format!("{path} is no object"))?;
    for (key, value) in fields {
        let below = format!("{path}.{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => fits(schema, value, &below)?,
            (None, None) => bail!("{below} is no field"),
        }
    }
    for required in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        ensure!(fields.contains_key(required), "{path}.{required} is missing");
    }
    Ok(())
}

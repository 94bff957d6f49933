//! The table of accepted and refused specs, judged by the API server itself. The same files go through the rules without
//! one in `operator/tests/pure/specs.rs`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Deserialize;
use serde_json::Value;

use crate::support::Scenario;

/// Files of one folder of the operator's fixtures, in order.
fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../operator/tests/fixtures/specs")
        .join(folder);
    let entries = std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", path.display());
    Ok(files)
}

/// The expected message in the first line, and the documents.
fn read(file: &Path) -> Result<(String, Vec<Value>)> {
    let text = std::fs::read_to_string(file)?;
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("# ").unwrap_or_default().to_owned();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    Ok((
        message,
        documents.map(Value::deserialize).collect::<Result<_, _>>()?,
    ))
}

/// Objects are sent as they are written: a field that the operator's types do not have must be refused by the server.
fn api(scenario: &Scenario) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("natter.dev", "v1alpha1", "ChatCluster");
    Api::namespaced_with(
        scenario.client.clone(),
        &scenario.namespace,
        &ApiResource::from_gvk(&kind),
    )
}

fn object(scenario: &Scenario, document: &Value) -> Result<DynamicObject> {
    let mut object: DynamicObject = serde_json::from_value(document.clone())?;
    object.metadata.namespace = Some(scenario.namespace.clone());
    Ok(object)
}

fn strict() -> PostParams {
    PostParams {
        field_manager: Some("test".to_owned()),
        ..PostParams::default()
    }
}

fn expect_refusal(file: &Path, message: &str, answer: kube::Result<DynamicObject>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.message.contains(message) => Ok(()),
        Err(error) => bail!("{}: another refusal: {error}", file.display()),
        Ok(_) => bail!("{} is accepted", file.display()),
    }
}

#[tokio::test]
async fn accepted_specs_are_accepted() -> Result<()> {
    let scenario = Scenario::start().await?;
    for file in files("accepted")? {
        let (_, documents) = read(&file)?;
        let accepted = api(&scenario)
            .create(&strict(), &object(&scenario, &documents[0])?)
            .await;
        accepted.with_context(|| format!("{} is refused", file.display()))?;
    }
    Ok(())
}

#[tokio::test]
async fn refused_specs_are_refused_with_the_rules_message() -> Result<()> {
    let scenario = Scenario::start().await?;
    for file in files("refused")? {
        let (message, documents) = read(&file)?;
        let answer = api(&scenario)
            .create(&strict(), &object(&scenario, &documents[0])?)
            .await;
        expect_refusal(&file, &message, answer)?;
    }
    Ok(())
}

#[tokio::test]
async fn refused_changes_are_refused_with_the_rules_message() -> Result<()> {
    let scenario = Scenario::start().await?;
    for file in files("updates")? {
        let (message, documents) = read(&file)?;
        let old = api(&scenario)
            .create(&strict(), &object(&scenario, &documents[0])?)
            .await?;
        let mut new = object(&scenario, &documents[1])?;
        new.metadata.resource_version = old.resource_version();
        let answer = api(&scenario).replace(&old.name_any(), &strict(), &new).await;
        expect_refusal(&file, &message, answer)?;
    }
    Ok(())
}

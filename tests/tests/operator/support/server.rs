//! The API servers of the suite: one that tests share, each in its namespace, and one that a test has to itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::{await_condition, delete::delete_and_finalize};
use kube::{Client, Config, ResourceExt};
use natter_operator::crd;
use natter_tests::kubernetes::ApiServer;
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};
use tokio::time::timeout;

use super::LIMIT;

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
static EXCLUSIVE: OnceCell<(ApiServer, Arc<Mutex<()>>)> = OnceCell::const_new();

/// One of the two, for the time of a test.
pub(crate) struct Server {
    api_server: &'static ApiServer,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Server {
    /// Has the definition of `ChatCluster` and none of other projects; a test that changes more than its namespace wants
    /// the exclusive one.
    pub(crate) async fn shared() -> Result<Self> {
        let start = async || {
            let server = ApiServer::start().await?;
            install(&client(server.kubeconfig()).await?).await?;
            anyhow::Ok(server)
        };
        Ok(Self {
            api_server: SHARED.get_or_try_init(start).await?,
            _turn: None,
        })
    }

    /// As the shared one is at its start.
    pub(crate) async fn exclusive() -> Result<Self> {
        let start = async || anyhow::Ok((ApiServer::start().await?, Arc::default()));
        let (api_server, turn) = EXCLUSIVE.get_or_try_init(start).await?;
        let turn: OwnedMutexGuard<()> = Arc::clone(turn).lock_owned().await;
        let client = client(api_server.kubeconfig()).await?;
        for definition in definitions(&client).list(&ListParams::default()).await?.items {
            remove_definition(&client, &definition.name_any()).await?;
        }
        install(&client).await?;
        Ok(Self {
            api_server,
            _turn: Some(turn),
        })
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.api_server.kubeconfig()
    }

    /// A client of the calling test's runtime, as administrator.
    pub(crate) async fn client(&self) -> Result<Client> {
        client(self.kubeconfig()).await
    }
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn definitions(client: &Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

async fn install(client: &Client) -> Result<()> {
    install_definition(client, &crd::chat_cluster()?).await
}

/// Applies a definition and waits until the API server serves it.
pub(crate) async fn install_definition(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    let name = definition.name_any();
    let parameters = PatchParams::apply("test").force();
    definitions(client)
        .patch(&name, &parameters, &Patch::Apply(definition))
        .await?;
    let established = await_condition(definitions(client), &name, is_crd_established());
    timeout(LIMIT, established)
        .await
        .with_context(|| format!("{name} is not established"))??;
    Ok(())
}

/// Deletes a definition with all its objects.
pub(crate) async fn remove_definition(client: &Client, name: &str) -> Result<()> {
    let definitions = definitions(client);
    let parameters = DeleteParams::default();
    let gone = delete_and_finalize(definitions, name, &parameters);
    timeout(LIMIT, gone)
        .await
        .with_context(|| format!("{name} does not go"))??;
    Ok(())
}

/// Definitions of other projects' resources.
pub(crate) fn foreign_definitions() -> Result<Vec<CustomResourceDefinition>> {
    let mut definitions = Vec::new();
    for file in ApiServer::foreign_definitions()? {
        let text = std::fs::read_to_string(&file)?;
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let value = serde_json::Value::deserialize(document)?;
            if value["kind"] == "CustomResourceDefinition" {
                definitions.push(serde_json::from_value(value)?);
            }
        }
    }
    Ok(definitions)
}

//! What the operator makes, as the API server has it.

use anyhow::{Context, Result};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use natter_operator::{build::MANAGED_BY, build::OPERATOR, kinds::Kind};
use natter_tests::wait::eventually;
use serde_json::Value;

use super::LIMIT;

/// The objects of one namespace.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    namespace: String,
}

impl Objects {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    pub(crate) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.api_resource())
    }

    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<DynamicObject> {
        let found = self.api(kind).get(name).await;
        found.with_context(|| format!("{} {name}", kind.name()))
    }

    /// The object once it is there.
    pub(crate) async fn wait(&self, kind: Kind, name: &str) -> Result<DynamicObject> {
        let what = format!("{} {name} is there", kind.name());
        eventually(&what, LIMIT, async || self.get(kind, name).await).await
    }

    pub(crate) async fn wait_gone(&self, kind: Kind, name: &str) -> Result<()> {
        let what = format!("{} {name} is gone", kind.name());
        eventually(&what, LIMIT, async || match self.api(kind).get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("still there".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    pub(crate) async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.api(kind).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Edits an object as a person would, by a merge.
    pub(crate) async fn edit(&self, kind: Kind, name: &str, change: &Value) -> Result<DynamicObject> {
        let patched = self
            .api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await;
        patched.with_context(|| format!("{} {name} cannot be edited", kind.name()))
    }

    /// All that the operator made, of the kinds that the server has.
    pub(crate) async fn made(&self) -> Result<Vec<(Kind, DynamicObject)>> {
        let ours = ListParams::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
        let mut made = Vec::new();
        for kind in Kind::ALL {
            match self.api(kind).list(&ours).await {
                Ok(list) => made.extend(list.items.into_iter().map(|object| (kind, object))),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(made)
    }

    /// Kinds and names of all that the operator made, in order.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        let made = self.made().await?;
        Ok(made
            .iter()
            .map(|(kind, object)| format!("{} {}", kind.name(), object.name_any()))
            .collect())
    }

    /// The Deployment of the only revision of a cluster.
    pub(crate) async fn deployment(&self, cluster: &str) -> Result<DynamicObject> {
        eventually(&format!("{cluster} has one Deployment"), LIMIT, async || {
            let labels = format!("app.kubernetes.io/instance={cluster}");
            let list = self
                .api(Kind::Deployment)
                .list(&ListParams::default().labels(&labels))
                .await;
            let found = list.map_err(|error| error.to_string())?.items;
            match found.as_slice() {
                [only] => Ok(only.clone()),
                others => Err(format!("{} of them", others.len())),
            }
        })
        .await
    }
}

/// `base` with the fields of `change`; lists are replaced.
pub(crate) fn merge(mut base: Value, change: &Value) -> Value {
    match (&mut base, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, value) in changes {
                let old = fields.remove(name).unwrap_or_default();
                fields.insert(name.clone(), merge(old, value));
            }
            base
        }
        _ => change.clone(),
    }
}

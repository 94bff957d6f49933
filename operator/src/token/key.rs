//! The key that tokens are computed from: a Secret beside the Lease, made by the first operator that starts.

use anyhow::{Context as _, bail};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use ring::rand::{SecureRandom as _, SystemRandom};
use tracing::info;

use super::TokenKey;
use crate::{
    build::{MANAGED_BY, OPERATOR},
    error::is_not_found,
};

/// Name of the Secret.
const SECRET: &str = "natter-operator-control";
const KEY: &str = "key";
/// Bytes of a key.
const LENGTH: usize = 32;

/// Reads the key, or makes it. Two operators that both make it cannot both succeed; the one that comes later reads.
pub async fn load(client: &Client, namespace: &str) -> anyhow::Result<TokenKey> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = match api.get(SECRET).await {
        Ok(secret) => secret,
        Err(error) if is_not_found(&error) => make(&api).await?,
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read Secret {SECRET} in namespace {namespace}"));
        }
    };
    let key = found.data.as_ref().and_then(|data| data.get(KEY));
    match key {
        Some(key) if key.0.len() >= LENGTH => Ok(TokenKey::new(&key.0)),
        _ => bail!(
            "no {KEY} of at least {LENGTH} bytes is in Secret {SECRET} of namespace {namespace}; delete it to have another made"
        ),
    }
}

async fn make(api: &Api<Secret>) -> anyhow::Result<Secret> {
    let mut key = vec![0; LENGTH];
    if SystemRandom::new().fill(&mut key).is_err() {
        bail!("the system has no random numbers");
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some([(MANAGED_BY.to_owned(), OPERATOR.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([(KEY.to_owned(), ByteString(key))].into()),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(made) => {
            info!(secret = SECRET, "made the key of control calls");
            Ok(made)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(api.get(SECRET).await?),
        Err(error) => Err(error).with_context(|| format!("cannot make Secret {SECRET}")),
    }
}

//! What was in the Secrets of an API server at any time: no operator of the tests may show it.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::secrets::remember_bytes;

/// Remembers every Secret until what is returned is dropped. On a thread of its own: tests that share the server have a runtime each.
pub(super) fn remember(kubeconfig: &Path) -> Result<oneshot::Sender<()>> {
    let (stop, stopped) = oneshot::channel();
    let kubeconfig = kubeconfig.to_owned();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let watch = async move {
        tokio::select! {
            failed = follow(kubeconfig) => failed.unwrap_or_else(|error| eprintln!("no Secret is known: {error:#}")),
            // Either way.
            _ = stopped => {}
        }
    };
    thread::Builder::new()
        .name("secrets".to_owned())
        .spawn(move || runtime.block_on(watch))
        .context("cannot start a thread")?;
    Ok(stop)
}

async fn follow(kubeconfig: PathBuf) -> Result<()> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let secrets: Api<Secret> = Api::all(Client::try_from(config)?);
    let changes = watcher(secrets, watcher::Config::default()).default_backoff();
    let mut changes = std::pin::pin!(changes.applied_objects());
    while let Some(change) = changes.next().await {
        // What failed is tried again.
        for value in change.ok().and_then(|secret| secret.data).into_iter().flatten() {
            remember_bytes(&value.1.0);
        }
    }
    Ok(())
}

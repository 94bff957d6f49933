//! How a test asks for a gateway.

use std::process::ExitStatus;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::{API_KEY, Gateway, Launch};
use crate::port::ReservedPort;
use crate::secrets::Secrets;
use crate::{http, tools};

/// A gateway's configuration and environment before the start.
#[derive(Clone, Default)]
pub struct GatewayBuilder {
    config: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    files: Option<FileLimits>,
    api_key: Option<String>,
    name: Option<String>,
}

/// Limits of open files at the start of the program.
#[derive(Clone, Copy)]
pub(super) struct FileLimits {
    pub(super) soft: u32,
    pub(super) hard: u32,
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl GatewayBuilder {
    /// The YAML of the configuration file; the addresses are set by the environment and need not be in it.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.config);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Adds flags after `--config`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Starts the program with these limits of open files.
    #[must_use]
    pub fn file_limits(mut self, soft: u32, hard: u32) -> Self {
        self.files = Some(FileLimits { soft, hard });
        self
    }

    /// The key of server API calls; [`API_KEY`] otherwise.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(key.to_owned());
        self
    }

    /// The name in error texts and of the log in `tests/artifacts`; `gateway` otherwise.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Starts the gateway and waits until it listens.
    pub async fn start(self) -> Result<Gateway> {
        let launch = self.launch().await?;
        let running = Mutex::new(launch.run().await?);
        let api_key = self.api_key.unwrap_or_else(|| API_KEY.to_owned());
        Ok(Gateway {
            launch,
            running,
            api_key,
            http: http::client()?,
            watched: AtomicBool::new(false),
        })
    }

    /// Runs the program with `args` to its end, for `check-config` and starts that must fail.
    ///
    /// `{config}` in an argument stands for the path of the configuration file.
    pub async fn run(self, args: &[&str], limit: Duration) -> Result<Finished> {
        self.launch().await?.finish(args, limit).await
    }

    /// What the gateway is told and must not tell.
    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        for (name, value) in &self.env {
            secrets.of_variable(name, value);
        }
        for arg in &self.args {
            secrets.of_flag(arg);
        }
        secrets
    }

    async fn launch(&self) -> Result<Launch> {
        let launch = Launch {
            binary: tools::gateway().await?,
            name: self.name.clone().unwrap_or_else(|| "gateway".to_owned()),
            env: self.env.clone(),
            args: self.args.clone(),
            files: self.files,
            secrets: Mutex::new(self.secrets()),
            public: ReservedPort::take()?,
            ops: ReservedPort::take()?,
            directory: tempfile::tempdir().context("cannot create the directory of a gateway")?,
        };
        launch.write_config(&self.config)?;
        Ok(launch)
    }
}

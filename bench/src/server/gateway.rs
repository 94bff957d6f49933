//! Gateways of the run's own.

use std::{env, path::PathBuf, process::Command};

use super::process::{Listening, Process};

/// Of a gateway that listens on loopback for the time of one run.
pub(super) const OWN_KEY: &str = "natter-bench-key";

/// Load comes over few connections, each of which stands for many clients; other servers have no such limit.
const NO_RATE: [&str; 2] = ["client.rate_limit.commands=0", "client.rate_limit.reads=0"];

/// The gateway to start.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct GatewayArgs {
    /// Program of the gateway to start [default: natter-gateway beside this program]
    #[arg(long, value_name = "FILE")]
    pub gateway: Option<PathBuf>,
    /// Its worker threads, 0 for one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub workers: usize,
    /// Any key of its configuration (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl GatewayArgs {
    /// The same with these keys of the configuration in front of those that were given.
    #[must_use]
    pub fn with(&self, keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            set: keys.into_iter().chain(self.set.iter().cloned()).collect(),
            ..self.clone()
        }
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        Ok(match &self.gateway {
            Some(program) => program.clone(),
            None => env::current_exe()?.with_file_name("natter-gateway"),
        })
    }

    /// Starts a gateway with its defaults on free ports, and waits until it listens.
    pub(super) fn start(&self) -> anyhow::Result<(Process, Listening)> {
        let mut command = Command::new(self.program()?);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("NATTER_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--workers", &self.workers.to_string()])
            .args(NO_RATE.iter().flat_map(|set| ["--set", set]))
            .args(self.set.iter().flat_map(|set| ["--set", set]))
            .env("NATTER_API_KEYS", OWN_KEY);
        Process::start("gateway", &mut command)
    }
}

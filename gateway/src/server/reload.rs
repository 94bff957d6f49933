//! New settings for a running gateway: whole or not at all.

use tracing::{error, info};

use super::Server;
use crate::{api::ApiKeys, config::Loader, telemetry::LogHandle};

/// Longest text of a refused reload that control calls give, in characters; the log has all of it.
const SHOWN: usize = 1_000;

impl Server {
    /// Loads the sources again. What is invalid, or would need a restart, leaves the old settings in force.
    pub fn reload(&self, loader: &Loader, logs: Option<&LogHandle>) {
        // Counted first: who has read the line finds it in the metrics.
        match self.try_reload(loader, logs) {
            Ok(has_changed) => {
                self.gateway.metrics.config.applied();
                if has_changed {
                    info!("configuration reloaded");
                } else {
                    info!("configuration is unchanged");
                }
            }
            Err(reasons) => {
                self.gateway.metrics.config.refused();
                self.gateway.set_config_error(shown(&reasons));
                for reason in reasons {
                    error!(%reason, "configuration not reloaded");
                }
            }
        }
    }

    fn try_reload(&self, loader: &Loader, logs: Option<&LogHandle>) -> Result<bool, Vec<String>> {
        let given = loader
            .read()
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let new = given.settings;
        let old = self.gateway.live();
        old.settings
            .check_reload(&new)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if new == old.settings {
            self.gateway.set_config_hash(given.file_hash);
            return Ok(false);
        }
        let proxies = self.gateway.proxies.prepare(&new.proxies);
        let proxies = proxies.map_err(|error| vec![error.to_string()])?;
        let tokens = self.gateway.tokens.prepare(&new.tokens);
        let tokens = tokens.map_err(|error| vec![error.to_string()])?;
        let keys = ApiKeys::prepare(&new.api).map_err(|error| vec![error.to_string()])?;
        if let Some(logs) = logs {
            logs.set_level(&new.log.level)
                .map_err(|error| vec![error.to_string()])?;
        }
        self.gateway.proxies.apply(proxies);
        self.gateway.tokens.apply(tokens);
        self.gateway.api_keys.apply(keys, &self.gateway.metrics.api);
        self.gateway.reload(new);
        self.gateway.set_config_hash(given.file_hash);
        Ok(true)
    }
}

fn shown(reasons: &[String]) -> String {
    reasons.join("; ").chars().take(SHOWN).collect()
}

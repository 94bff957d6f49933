//! TLS of the public port: the certificate, which is read again while clients are connected, and handshakes.
//!
//! TLS 1.2 and 1.3 as rustls has them by default, HTTP/1.1 alone. Connections that are open keep what they began with; a new
//! certificate is for those that come later. What replaces a certificate and its key writes two files, one after the other, so a pair
//! that does not fit, or is broken, leaves the former one in force and is told once.
//!
//! No `WatchedFile`, which takes whatever it reads: the keys of tickets come with a configuration, so
//! one is made only when the files have changed, and each change is counted.

mod certificate;
mod handshake;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio_rustls::rustls::ServerConfig;
use tracing::{info, warn};

use self::certificate::Pair;
pub use self::handshake::accept;
use crate::{config::TlsSettings, metrics::TlsMetrics, watched_file};

/// How soon files that were replaced are read again.
const FRESH: Duration = Duration::from_secs(5);

/// What handshakes are answered with; empty where the port is plain.
#[derive(Default)]
pub struct Tls(ArcSwapOption<ServerConfig>);

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The text of a key is secret.
    #[error("{} holds {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(String),
    #[error("http.tls.client_ca_file: {0}")]
    Authorities(String),
}

impl Tls {
    /// What to do handshakes with; `None`: clients speak without TLS.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        self.0.load_full()
    }

    /// Reads the files, if there are any. Returns what follows them.
    pub fn start(
        self: &Arc<Self>,
        settings: &TlsSettings,
        metrics: TlsMetrics,
    ) -> Result<Option<Follower>, TlsError> {
        let Some(pair) = Pair::read(settings)? else {
            return Ok(None);
        };
        let config = pair.config()?;
        metrics.expires(config.not_after);
        if config.has_ended() {
            warn!("the certificate of the public port has ended");
        }
        self.0.store(Some(config.server));
        Ok(Some(Follower {
            settings: settings.clone(),
            tls: self.clone(),
            metrics,
            last: Seen::Pair(pair),
        }))
    }
}

/// Reads the files again, for as long as it runs.
pub struct Follower {
    settings: TlsSettings,
    tls: Arc<Tls>,
    metrics: TlsMetrics,
    /// What was judged already: nothing is told twice.
    last: Seen,
}

#[derive(PartialEq)]
enum Seen {
    Pair(Pair),
    Unreadable(String),
}

impl Follower {
    pub async fn run(mut self) {
        watched_file::again(FRESH, move || self.look()).await;
    }

    fn look(&mut self) {
        let (seen, config) = match Pair::read(&self.settings) {
            Ok(None) => return,
            Ok(Some(pair)) if self.last == Seen::Pair(pair.clone()) => return,
            Ok(Some(pair)) => {
                let config = pair.config();
                (Seen::Pair(pair), config)
            }
            Err(error) => (Seen::Unreadable(error.to_string()), Err(error)),
        };
        if seen == self.last {
            return;
        }
        self.last = seen;
        match config {
            Ok(config) => {
                self.metrics.expires(config.not_after);
                self.metrics.reloaded(true);
                self.tls.0.store(Some(config.server));
                info!(
                    not_after = config.not_after,
                    "the public port has a new certificate"
                );
            }
            Err(error) => {
                self.metrics.reloaded(false);
                warn!(%error, "the public port keeps its certificate");
            }
        }
    }
}

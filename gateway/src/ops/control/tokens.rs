//! The tokens that control calls need: every line of a file, so that a rotation never refuses.
//!
//! Whoever rotates writes the new token beside the old one, waits until every gateway has read the file, uses the new one and
//! then removes the old. A file that cannot be used while the gateway runs leaves the tokens as they are: a gateway that nobody
//! can drain would be worse than an old token. To take a token back, write a file without it.
//!
//! Followed as the configuration is, and not as a `WatchedFile`, which tells nobody what it reads: every change is counted, and those
//! that cannot be used too, as whoever rotates waits for them.

use std::{fs, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use tracing::{error, info};

use crate::config::{POLL_INTERVAL, Secret, Watcher};
use crate::metrics::ControlMetrics;

/// A shorter token can be guessed over the network.
const MIN_LENGTH: usize = 16;
/// More tokens are a mistake, and each costs a comparison.
const MAX_TOKENS: usize = 16;

/// The accepted tokens, and where they are from.
pub struct Tokens {
    path: PathBuf,
    accepted: ArcSwap<Vec<Secret>>,
    metrics: ControlMetrics,
}

/// Why a token file cannot be used. Lines are named by number: their text is secret.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("has no token")]
    Empty,
    #[error("line {0} is no token: at least {MIN_LENGTH} printable ASCII characters without a space")]
    Malformed(usize),
    #[error("has more than {MAX_TOKENS} tokens")]
    TooMany,
}

impl Tokens {
    /// Reads the file.
    pub fn read(path: impl Into<PathBuf>, metrics: ControlMetrics) -> Result<Arc<Self>, TokenError> {
        let path = path.into();
        let accepted = parse(&fs::read_to_string(&path)?)?;
        metrics.tokens(accepted.len());
        Ok(Arc::new(Self {
            path,
            accepted: ArcSwap::from_pointee(accepted),
            metrics,
        }))
    }

    /// Whether a token is accepted. All are compared, each in constant time.
    pub fn admit(&self, given: &[u8]) -> bool {
        let accepted = self.accepted.load();
        accepted
            .iter()
            .fold(false, |any, token| any | token.matches(given))
    }

    /// Follows the file, until dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut watcher = Watcher::new(&self.path, POLL_INTERVAL);
        // What was written between the first read and now.
        self.read_again();
        loop {
            watcher.changed().await;
            self.read_again();
        }
    }

    fn read_again(&self) {
        let read = fs::read_to_string(&self.path).map_err(TokenError::from);
        match read.and_then(|text| parse(&text)) {
            Ok(tokens) if tokens == **self.accepted.load() => {}
            Ok(tokens) => {
                info!(tokens = tokens.len(), "control tokens read again");
                self.metrics.tokens(tokens.len());
                self.metrics.tokens_read(true);
                self.accepted.store(tokens.into());
            }
            Err(error) => {
                self.metrics.tokens_read(false);
                error!(file = %self.path.display(), %error, "control tokens stay as they are");
            }
        }
    }
}

/// One token a line; empty lines mean nothing.
fn parse(text: &str) -> Result<Vec<Secret>, TokenError> {
    let lines = text.lines().map(str::trim).enumerate();
    let tokens: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            let sound = line.len() >= MIN_LENGTH && line.bytes().all(|byte| byte.is_ascii_graphic());
            sound
                .then(|| Secret::from(line.to_owned()))
                .ok_or(TokenError::Malformed(index + 1))
        })
        .collect::<Result<_, _>>()?;
    match tokens.len() {
        0 => Err(TokenError::Empty),
        1..=MAX_TOKENS => Ok(tokens),
        _ => Err(TokenError::TooMany),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::metrics::Metrics;

    const FIRST: &str = "first-token-0123456789";
    const SECOND: &str = "second-token-0123456789";

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_line_is_a_token() {
        let tokens = parse(&format!("\n{FIRST}\r\n  {SECOND}  \n\n")).unwrap();
        assert_eq!(
            tokens,
            [FIRST, SECOND].map(|token| Secret::from(token.to_owned()))
        );
        assert_eq!(refusal("\n \n"), "has no token");
        assert!(refusal(&format!("{FIRST}\nshort\n")).starts_with("line 2 is no token"));
        assert!(refusal("with a space 0123456789").starts_with("line 1 is no token"));
        assert_eq!(
            refusal(&format!("{FIRST}\n").repeat(17)),
            "has more than 16 tokens"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_refuses_neither_and_a_broken_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        let metrics = Metrics::new().unwrap();
        fs::write(&file, FIRST).unwrap();
        let tokens = Tokens::read(&file, metrics.control.clone()).unwrap();
        let following = tokio::spawn(tokens.clone().follow());
        let admitted = || [FIRST, SECOND].map(|token| tokens.admit(token.as_bytes()));
        assert_eq!(admitted(), [true, false]);
        for (content, expected) in [
            (format!("{SECOND}\n{FIRST}\n"), [true, true]),
            ("short".to_owned(), [true, true]),
            (SECOND.to_owned(), [false, true]),
        ] {
            fs::write(&file, content).unwrap();
            // Two looks at the file, each on a thread of its own, whose end the paused clock waits for.
            sleep(POLL_INTERVAL * 3 + Duration::from_millis(1)).await;
            assert_eq!(admitted(), expected);
        }
        let text = metrics.encode().unwrap();
        assert!(
            text.contains("natter_control_token_reads_total{result=\"applied\"} 2"),
            "{text}"
        );
        assert!(
            text.contains("natter_control_token_reads_total{result=\"refused\"} 1"),
            "{text}"
        );
        assert!(text.contains("natter_control_tokens 1"), "{text}");
        following.abort();
        fs::remove_file(&file).unwrap();
        assert!(Tokens::read(&file, metrics.control.clone()).is_err());
    }
}

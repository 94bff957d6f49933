//! The keys of the server API, and what each of them may do.
//!
//! Keys are changed by changing their file, which is read again while calls come in: two keys of one entry are good at the same
//! time, so that callers change from one to the other. What a key may do is said by its entry: methods, and namespaces of
//! rooms. Methods that are about no room (`disconnect`, `info`, …) act on all of the cluster; a key that is bound to namespaces has
//! them only where its entry names the method.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use natter_protocol::channel::namespace_of;
use serde::Deserialize;

use super::request::{or_default, parse};
use crate::{
    config::{ApiKeySettings, ApiSettings, Secret},
    metrics::ApiMetrics,
    namespace::DEFAULT_NAMESPACE,
    watched_file::WatchedFile,
};

/// Name of the keys that may do everything, in logs and metrics; no entry has it.
pub const UNSCOPED: &str = "unscoped";
/// How soon a file that was replaced is read again.
const FRESH: Duration = Duration::from_secs(5);
/// Keys in one file.
const MAX_KEYS: usize = 64;

/// What a key may do.
#[derive(Debug)]
pub struct Scope {
    /// Of the configuration: for logs and metrics.
    pub name: String,
    /// Empty: all.
    methods: Vec<String>,
    /// Empty: rooms of all namespaces, and what is about no room.
    namespaces: Vec<String>,
}

/// A file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeysError {
    #[error("keys of {name:?}: cannot read {}: {source}", path.display())]
    Read {
        name: String,
        path: PathBuf,
        source: io::Error,
    },
    /// The file is secret.
    #[error("keys of {name:?}: {} holds {problem}", path.display())]
    Content {
        name: String,
        path: PathBuf,
        problem: &'static str,
    },
}

/// All keys.
#[derive(Default)]
pub struct ApiKeys(ArcSwap<Vec<Entry>>);

/// The keys of new settings, ready to be taken.
pub struct PreparedKeys(Vec<Entry>);

struct Entry {
    scope: Arc<Scope>,
    written: Vec<Secret>,
    file: Option<WatchedFile<Vec<Secret>>>,
}

impl ApiKeys {
    /// The keys of new settings, all or none, with their files read anew. On a runtime, which reads them again.
    pub fn prepare(settings: &ApiSettings) -> Result<PreparedKeys, ApiKeysError> {
        let unscoped = ApiKeySettings {
            name: UNSCOPED.to_owned(),
            keys: settings.keys.clone(),
            keys_file: settings.keys_file.clone(),
            ..ApiKeySettings::default()
        };
        let entries = std::iter::once(&unscoped).chain(&settings.scoped_keys);
        entries
            .map(Entry::new)
            .collect::<Result<_, _>>()
            .map(PreparedKeys)
    }

    /// Takes them in place of those that are there.
    pub fn apply(&self, PreparedKeys(entries): PreparedKeys, metrics: &ApiMetrics) {
        for entry in entries.iter().filter(|entry| entry.has_keys()) {
            metrics.in_force(&entry.scope.name);
        }
        self.0.store(Arc::new(entries));
    }

    /// Whose key it is. Every key is compared, each in constant time.
    pub fn scope_of(&self, given: &[u8]) -> Option<Arc<Scope>> {
        let entries = self.0.load();
        entries.iter().fold(None, |found, entry| {
            let fits = entry.fits(given);
            found.or_else(|| fits.then(|| entry.scope.clone()))
        })
    }
}

impl Entry {
    fn new(settings: &ApiKeySettings) -> Result<Self, ApiKeysError> {
        let file = settings.keys_file.clone().map(|path| {
            let name = settings.name.clone();
            WatchedFile::open("keys of the server API", FRESH, move || read(&name, &path))
        });
        Ok(Self {
            scope: Arc::new(Scope {
                name: settings.name.clone(),
                methods: settings.methods.clone(),
                namespaces: settings.namespaces.clone(),
            }),
            written: settings.keys.clone(),
            file: file.transpose()?,
        })
    }

    fn has_keys(&self) -> bool {
        !self.written.is_empty() || self.file.is_some()
    }

    fn fits(&self, given: &[u8]) -> bool {
        let any = |keys: &[Secret]| keys.iter().fold(false, |any, key| any | key.matches(given));
        let file = self.file.as_ref().map(WatchedFile::current);
        any(&self.written) | file.is_some_and(|keys| any(&keys))
    }
}

/// One a line, or with commas between them, as the variable has them.
fn read(name: &str, path: &Path) -> Result<Vec<Secret>, ApiKeysError> {
    let text = fs::read_to_string(path).map_err(|source| ApiKeysError::Read {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let keys: Vec<&str> = text
        .split(['\n', ','])
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .collect();
    let problem = match keys.len() {
        0 => Some("no key"),
        1..=MAX_KEYS => (!keys.iter().all(|key| is_key(key))).then_some("something else than keys"),
        _ => Some("more than 64 keys"),
    };
    match problem {
        None => Ok(keys.into_iter().map(|key| key.to_owned().into()).collect()),
        Some(problem) => Err(ApiKeysError::Content {
            name: name.to_owned(),
            path: path.to_owned(),
            problem,
        }),
    }
}

/// What a header and an address can carry.
fn is_key(text: &str) -> bool {
    text.len() >= ApiSettings::KEY_LENGTH && text.chars().all(|c| c.is_ascii_graphic())
}

/// Calls about one room. Read as the methods themselves read it.
#[derive(Deserialize)]
struct OneRoom {
    #[serde(default, deserialize_with = "or_default")]
    channel: String,
}

#[derive(Deserialize)]
struct ManyRooms {
    #[serde(default, deserialize_with = "or_default")]
    channels: Vec<String>,
}

impl Scope {
    /// Whether a call is covered; an error when its body is not what the method takes.
    pub(super) fn covers(&self, method: &str, body: &[u8]) -> serde_json::Result<bool> {
        if !self.has(method) {
            return Ok(false);
        }
        if self.namespaces.is_empty() {
            return Ok(true);
        }
        Ok(match method {
            "publish" | "history" | "history_remove" | "presence" | "presence_stats" | "subscribe"
            | "ban_user" | "unban_user" => self.reaches(&parse::<OneRoom>(body)?.channel),
            "unsubscribe" | "invalidate_user_tokens" => {
                // Without a room it is about all of them.
                let OneRoom { channel } = parse(body)?;
                !channel.is_empty() && self.reaches(&channel)
            }
            "broadcast" => {
                let ManyRooms { channels } = parse(body)?;
                channels.iter().all(|channel| self.reaches(channel))
            }
            method => self.methods.iter().any(|own| own == method),
        })
    }

    /// Whether a call of a method about one room is covered.
    pub(super) fn covers_room(&self, method: &str, room: &str) -> bool {
        self.has(method) && self.reaches(room)
    }

    fn has(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own == method)
    }

    fn reaches(&self, room: &str) -> bool {
        let namespace = namespace_of(room).unwrap_or(DEFAULT_NAMESPACE);
        self.namespaces.is_empty() || self.namespaces.iter().any(|own| own == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn scope(methods: &[&str], namespaces: &[&str]) -> Scope {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Scope {
            name: "a".to_owned(),
            methods: owned(methods),
            namespaces: owned(namespaces),
        }
    }

    #[test]
    fn a_key_does_what_its_entry_says() {
        let everything = scope(&[], &[]);
        let publisher = scope(&["publish", "broadcast", "disconnect"], &["news", "default"]);
        let newsroom = scope(&[], &["news"]);
        for (method, body, publishes, is_news) in [
            ("publish", r#"{"channel":"news:a"}"#, true, true),
            ("publish", r#"{"channel":"$news:a"}"#, true, true),
            ("publish", r#"{"channel":"lobby"}"#, true, false),
            ("publish", r#"{"channel":"other:a"}"#, false, false),
            ("publish", r#"{"channel":null}"#, true, false),
            ("broadcast", r#"{"channels":["news:a","lobby"]}"#, true, false),
            ("broadcast", r#"{"channels":["news:a","news:b"]}"#, true, true),
            ("broadcast", r#"{"channels":["news:a","other:b"]}"#, false, false),
            ("history", r#"{"channel":"news:a"}"#, false, true),
            ("subscribe", r#"{"channel":"news:a","user":"x"}"#, false, true),
            ("unsubscribe", r#"{"channel":"news:a","user":"x"}"#, false, true),
            ("unsubscribe", r#"{"user":"x"}"#, false, false),
            ("disconnect", r#"{"user":"x"}"#, true, false),
            ("ban_user", r#"{"channel":"news:a","user":"x"}"#, false, true),
            ("unban_user", r#"{"channel":"other:a","user":"x"}"#, false, false),
            (
                "invalidate_user_tokens",
                r#"{"channel":"news:a","user":"x"}"#,
                false,
                true,
            ),
            (
                "invalidate_user_tokens",
                r#"{"channel":"other:a","user":"x"}"#,
                false,
                false,
            ),
            ("invalidate_user_tokens", r#"{"user":"x"}"#, false, false),
            ("ban_user", r#"{"channel":"other:a","user":"x"}"#, false, false),
            ("unban_user", r#"{"channel":"news:a","user":"x"}"#, false, true),
            ("block_user", r#"{"user":"x"}"#, false, false),
            ("unblock_user", r#"{"user":"x"}"#, false, false),
            ("revoke_token", r#"{"uid":"x"}"#, false, false),
            ("revocations", r#"{"user":"x"}"#, false, false),
            ("channels", "{}", false, false),
            ("info", "{}", false, false),
        ] {
            let covers = |scope: &Scope| scope.covers(method, body.as_bytes()).unwrap();
            assert!(covers(&everything), "{method} {body}");
            assert_eq!(covers(&publisher), publishes, "{method} {body}");
            assert_eq!(covers(&newsroom), is_news, "{method} {body}");
        }
    }

    /// Whatever a room is named by twice, one of the two is not looked at.
    #[test]
    fn a_room_that_is_named_twice_is_no_room() {
        let newsroom = scope(&[], &["news"]);
        let body = br#"{"channel":"news:a","channel":"other:a"}"#;
        assert!(newsroom.covers("publish", body).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_and_two_keys_are_good_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, "the-first-long-key\n").unwrap();
        let settings = ApiSettings {
            scoped_keys: vec![ApiKeySettings {
                name: "backend".to_owned(),
                keys_file: Some(path.clone()),
                ..ApiKeySettings::default()
            }],
            ..ApiSettings::default()
        };
        let keys = ApiKeys::default();
        let metrics = Metrics::new().unwrap();
        keys.apply(ApiKeys::prepare(&settings).unwrap(), &metrics.api);
        // From the first on: what begins with one is no increase.
        let text = metrics.encode().unwrap();
        for family in ["natter_api_key_requests_total", "natter_api_key_refusals_total"] {
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(family)).collect();
            assert_eq!(lines, [format!("{family}{{api_key=\"backend\"}} 0")]);
        }
        let good = |key: &str| keys.scope_of(key.as_bytes()).is_some();
        for (text, first, second) in [
            ("the-first-long-key\nthe-second-long-key\n", true, true),
            ("the-second-long-key", false, true),
            ("short", false, true),
            ("", false, true),
        ] {
            fs::write(&path, text).unwrap();
            tokio::time::sleep(2 * FRESH).await;
            assert_eq!(
                (good("the-first-long-key"), good("the-second-long-key")),
                (first, second),
                "{text:?}"
            );
        }
        let refused = ApiKeys::prepare(&settings).err().unwrap().to_string();
        assert!(
            refused.contains("backend") && refused.ends_with("holds no key"),
            "{refused}"
        );
    }
}

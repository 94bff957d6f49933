//! Whether a gateway or an operator shows a secret that it was given: the logs, metrics and traces of every one of every test are
//! looked through for it.
//!
//! What is secret is read from the gateway's own configuration, variables, flags and files, and from the Secrets of the API server
//! that operators work with, so a test has nothing to say. A token of a client is known by its beginning. Who shows one fails its
//! test when it is dropped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_yaml_ng::Value;

/// Shorter texts stand in too many words.
const MIN_LENGTH: usize = 8;

/// What a JWT begins with, with the beginning of its second part: `{"` in Base64.
const JWT: &str = "eyJ";

/// Keys of the configuration whose texts are secret, or hold a secret.
const KEYS: [&str; 6] = [
    "keys",
    "key",
    "secret",
    "hmac_secrets",
    "static_headers",
    "servers",
];
/// Files whose lines are secret. In names of variables the longest that fits is meant.
const FILES: [&str; 8] = [
    "token_file",
    "hmac_secrets_file",
    "static_headers_file",
    "credentials_file",
    "keys_file",
    "key_file",
    "otlp_key_file",
    "otlp_headers_file",
];
/// Files that everybody may read: certificates, public keys.
const PUBLIC: [&str; 7] = [
    "public_keys_file",
    "certificate_file",
    "client_ca_file",
    "ca_file",
    "jwks_ca_file",
    "otlp_ca_file",
    "otlp_certificate_file",
];

/// All secrets of this process's tests, for what has no gateway of its own.
static ALL: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// The secrets that one gateway was given.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// A secret that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where: a line of a log, a sample of metrics, a span.
    pub place: String,
    /// What was found there.
    pub secret: String,
}

impl Secrets {
    /// Adds those of a configuration in YAML; one that is no YAML has none.
    pub fn of_config(&mut self, yaml: &str) {
        if let Ok(value) = serde_yaml_ng::from_str(yaml) {
            self.walk(&value, false);
        }
        self.remember();
    }

    /// Adds those of a variable: `NATTER_API_KEYS`, `NATTER_BUS_NATS_SERVERS`, and sections in YAML.
    pub fn of_variable(&mut self, name: &str, value: &str) {
        let name = name.to_lowercase();
        let known = KEYS.iter().chain(&FILES).chain(&PUBLIC);
        let path = known
            .filter(|key| name.ends_with(**key))
            .max_by_key(|key| key.len());
        match path {
            Some(file) if PUBLIC.contains(file) => {}
            Some(file) if FILES.contains(file) => drop(self.files.insert(value.to_owned())),
            Some(_) if !value.trim_start().starts_with('[') => {
                for part in value.split(',') {
                    self.add(part.trim());
                }
            }
            _ => {
                if let Ok(value) = serde_yaml_ng::from_str(value) {
                    self.walk(&value, path.is_some());
                }
            }
        }
        self.remember();
    }

    /// Adds those of flags: URLs, and `key=value` of `--set`.
    pub fn of_flag(&mut self, text: &str) {
        if text.contains("://") {
            self.add(text);
        }
        if let Some((key, value)) = text.split_once('=') {
            self.of_variable(&key.replace('.', "_"), value);
        }
        self.remember();
    }

    /// Adds a token or another text.
    pub fn add(&mut self, text: &str) {
        let secret = match text.split_once("://") {
            // Of a URL, what stands before the host; of `user:password`, the password.
            Some((_, rest)) => match rest.rsplit_once('@') {
                Some((login, _)) => login.split_once(':').map_or(login, |(_, password)| password),
                None => return,
            },
            // Of a header, its value.
            None => text.split_once(": ").map_or(text, |(_, value)| value),
        };
        if secret.len() >= MIN_LENGTH {
            self.texts.insert(secret.to_owned());
        }
    }

    fn walk(&mut self, value: &Value, is_secret: bool) {
        match value {
            Value::Mapping(map) => {
                for (key, value) in map {
                    let key = key.as_str().unwrap_or_default();
                    if let (true, Some(file)) = (FILES.contains(&key), value.as_str()) {
                        self.files.insert(file.to_owned());
                    }
                    self.walk(value, KEYS.contains(&key));
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.walk(item, is_secret);
                }
            }
            Value::String(text) if is_secret => self.add(text),
            _ => {}
        }
    }

    /// Reads the files again: a test may have renewed them.
    fn read_files(&mut self) {
        for file in self.files.clone() {
            let text = std::fs::read_to_string(Path::new(&file)).unwrap_or_default();
            for line in text.lines().filter(|line| !line.starts_with("---")) {
                self.add(line.trim());
            }
        }
    }

    fn remember(&mut self) {
        self.read_files();
        ALL.lock().extend(self.texts.iter().cloned());
    }

    /// What of this text, which is found at `place`, is secret.
    pub fn shown_in(&mut self, place: &str, text: &str) -> Vec<Leak> {
        self.read_files();
        search(&self.texts, place, text)
    }
}

/// Adds a value of a Secret to those of all: its lines if it is a text, and the forms in which bytes are written.
pub(crate) fn remember_bytes(value: &[u8]) {
    let mut secrets = Secrets::default();
    if let Ok(text) = std::str::from_utf8(value) {
        text.lines().for_each(|line| secrets.add(line.trim()));
    } else {
        let written =
            |byte: fn(&u8) -> String, between| value.iter().map(byte).collect::<Vec<_>>().join(between);
        secrets.add(&written(|byte| format!("{byte:02x}"), ""));
        secrets.add(&written(u8::to_string, ", "));
    }
    secrets.add(&STANDARD.encode(value));
    secrets.remember();
}

/// As [`Secrets::shown_in`], for the secrets of all gateways and API servers so far.
pub fn shown_in(place: &str, text: &str) -> Vec<Leak> {
    search(&ALL.lock(), place, text)
}

fn search(secrets: &BTreeSet<String>, place: &str, text: &str) -> Vec<Leak> {
    let known = secrets.iter().filter(|secret| text.contains(secret.as_str()));
    known
        .map(String::as_str)
        .chain(jwt(text))
        .map(|secret| Leak {
            place: format!("{place}: {}", line_with(text, secret)),
            secret: secret.to_owned(),
        })
        .collect()
}

fn line_with<'a>(text: &'a str, secret: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(secret))
        .unwrap_or_default()
}

/// The first token in a text: two parts in Base64 that both begin an object.
fn jwt(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find(JWT) {
        let word = &rest[start..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        if end >= 16 && word[end..].starts_with(".eyJ") {
            return Some(&word[..end]);
        }
        rest = &word[JWT.len()..];
    }
    None
}

/// Fails the test that drops who has shown something, unless it fails already.
#[expect(clippy::panic, reason = "what is dropped has no other way to fail a test")]
pub(crate) fn fail(leaks: &[Leak]) {
    if let Some(Leak { place, secret }) = leaks.first()
        && !std::thread::panicking()
    {
        panic!("the secret {secret:?} is shown, one of {}: {place}", leaks.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of the configuration, one a row, with its type.
    const REFERENCE: &str = include_str!("../../docs/configuration.md");

    /// Name, without the sections around it, and type.
    fn keys() -> Vec<(&'static str, &'static str)> {
        let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `"));
        let keys = rows.filter_map(|row| {
            let (path, rest) = row.split_once("` | ")?;
            let name = path.rsplit('.').next()?;
            Some((name, rest.split(" | ").nth(1)?))
        });
        keys.collect()
    }

    #[test]
    fn every_file_of_the_configuration_is_known_as_secret_or_public() {
        let files: BTreeSet<_> = keys().into_iter().map(|(name, _)| name).collect();
        let files: BTreeSet<_> = files.into_iter().filter(|name| name.ends_with("_file")).collect();
        let known: BTreeSet<_> = FILES.into_iter().chain(PUBLIC).collect();
        assert_eq!(files, known);
    }

    #[test]
    fn every_key_of_a_secret_type_is_known() {
        let secret = ["list of keys", "list of headers", "list of NATS URLs"];
        let of_type = |wanted: &str| {
            let names: BTreeSet<_> = keys()
                .into_iter()
                .filter_map(|(name, kind)| (kind == wanted).then_some(name))
                .collect();
            assert!(!names.is_empty(), "no key is a {wanted}");
            names
        };
        for name in secret.into_iter().flat_map(of_type) {
            assert!(KEYS.contains(&name), "{name}");
        }
    }

    const CONFIG: &str = "
api: { keys: [the-api-key, other-api-key] }
tokens: [{ name: any-issuer, hmac_secrets: ['hmac, with a comma'] }]
proxies: [{ name: any-proxy, endpoint: 'http://a', static_headers: ['Authorization: Bearer static'] }]
bus: { prefix: any-prefix, nats: { servers: ['nats://any-user:nats-password@host:4222', 'nats://nats-token@host'] } }
rooms: { namespaces: [{ name: any-name }] }
";

    fn planted() -> Vec<String> {
        [
            "the-api-key",
            "other-api-key",
            "hmac, with a comma",
            "Bearer static",
            "nats-password",
            "nats-token",
        ]
        .map(str::to_owned)
        .into()
    }

    #[test]
    fn every_secret_of_a_configuration_is_known_and_found() {
        let mut secrets = Secrets::default();
        secrets.of_config(CONFIG);
        let known: BTreeSet<_> = planted().into_iter().collect();
        assert_eq!(secrets.texts, known);
        for secret in planted() {
            let log = format!("a line\nanother with {secret}!\nthe end");
            let leaks = secrets.shown_in("the log", &log);
            assert_eq!(leaks.len(), 1, "{secret}");
            assert_eq!(leaks[0].place, format!("the log: another with {secret}!"));
        }
        assert!(
            secrets
                .shown_in("the log", "any-user any-issuer any-prefix any-name ***")
                .is_empty()
        );
        assert!(!shown_in("a span", "the-api-key").is_empty());
    }

    #[test]
    fn secrets_of_variables_flags_and_files_are_known_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, "first-of-the-file\n").unwrap();
        let mut secrets = Secrets::default();
        secrets.of_variable("NATTER_API_KEYS", "key-one-of-env, key-two-of-env");
        secrets.of_variable("NATTER_TOKENS", "[{name: a, hmac_secrets: [hmac-of-env]}]");
        secrets.of_variable("NATTER_LOG_LEVEL", "natter_gateway=debug");
        secrets.of_flag("nats://user:password-of-flag@host");
        secrets.of_flag("api.keys=[key-of-set-flag]");
        secrets.of_config(&format!(
            "ops: {{ control: {{ token_file: '{}' }} }}",
            file.display()
        ));
        std::fs::write(&file, "second-of-the-file\n").unwrap();
        for secret in [
            "key-one-of-env",
            "key-two-of-env",
            "hmac-of-env",
            "password-of-flag",
            "key-of-set-flag",
            "first-of-the-file",
            "second-of-the-file",
        ] {
            assert_eq!(secrets.shown_in("a", secret).len(), 1, "{secret}");
        }
        assert!(secrets.shown_in("a", "natter_gateway=debug").is_empty());
    }

    #[test]
    fn values_of_secrets_are_known_in_every_form() {
        remember_bytes(b"first-of-a-secret\nsecond-of-a-secret\n");
        remember_bytes(&[255, 1, 2, 3, 4, 5, 6, 7]);
        for shown in [
            "first-of-a-secret",
            "second-of-a-secret",
            "Zmlyc3Qtb2YtYS1zZWNyZXQKc2Vjb25kLW9mLWEtc2VjcmV0Cg==",
            "ff01020304050607",
            "/wECAwQFBgc=",
            "[255, 1, 2, 3, 4, 5, 6, 7]",
        ] {
            assert_eq!(shown_in("a", shown).len(), 1, "{shown}");
        }
    }

    #[test]
    fn tokens_are_known_by_their_look() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.c2ln";
        assert_eq!(shown_in("a", &format!("token={token}")).len(), 1);
        for other in ["eyJ", "eyJabcdefghijklmnop", "keyJob.eyJob", "a.eyJ.eyJ"] {
            assert_eq!(jwt(other), None, "{other}");
        }
    }
}

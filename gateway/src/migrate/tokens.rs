//! Who signs tokens: Centrifugo has one for connections, and one for subscriptions where that is another.

use serde_yaml_ng::Value;

use super::{outcome::Draft, source::Source, value};
use crate::config::ProxyUrl;

/// What the gateway asks of a secret where others can reach it.
const SECRET_LENGTH: usize = 32;
const CONNECTIONS: &str = "client.token";
const SUBSCRIPTIONS: &str = "client.subscription_token";
const TEXTS: [(&str, &str); 3] = [
    ("audience", "audience"),
    ("issuer", "issuer"),
    ("user_id_claim", "user_claim"),
];
const SECRETS: [&str; 2] = ["hmac_secret_key", "hmac_previous_secret_key"];
/// What narrows whose tokens are good and cannot be said here: without it they all would be.
const GUARDS: [&str; 2] = ["audience_regex", "issuer_regex"];

/// Writes them, and says whether tokens of connections can be checked.
pub(super) fn convert(source: &Source, draft: &mut Draft) -> bool {
    let is_apart = source.flag("client.subscription_token.enabled");
    let kinds = [
        (
            CONNECTIONS,
            "connection",
            if is_apart { "connections" } else { "both" },
            true,
        ),
        (SUBSCRIPTIONS, "subscription", "subscriptions", is_apart),
    ];
    let mut written = Vec::new();
    for (section, name, signs, is_on) in kinds {
        if !is_on {
            for entry in source
                .below(section)
                .filter(|entry| !entry.path.ends_with(".enabled"))
            {
                draft.spare(entry, "subscriptions have the keys of connections");
            }
        } else if one(source, section, written.len(), draft) {
            let at = format!("tokens[{}]", written.len());
            draft.set(&format!("{at}.name"), name.into(), section);
            draft.set(&format!("{at}.signs"), signs.into(), section);
            written.push(section);
        }
    }
    written.contains(&CONNECTIONS)
}

/// Whether there was a key to write.
fn one(source: &Source, section: &str, index: usize, draft: &mut Draft) -> bool {
    let path = |option: &str| format!("{section}.{option}");
    let is_guarded = GUARDS.iter().any(|guard| source.is_on(&path(guard)));
    let mut has_key = false;
    let mut secrets = Vec::new();
    for option in SECRETS {
        let Some(entry) = source
            .get(&path(option))
            .filter(|entry| !value::is_off(&entry.value))
        else {
            continue;
        };
        match entry.value.as_str() {
            _ if is_guarded => draft.leave(entry, "what the regular expression keeps out would be let in"),
            Some(secret) if secret.len() >= SECRET_LENGTH => secrets.push(Value::from(secret)),
            _ => draft.leave(entry, "whoever has a token can guess it: at least 32 characters"),
        }
    }
    if !secrets.is_empty() {
        draft.set(
            &format!("tokens[{index}].hmac_secrets"),
            secrets.into(),
            &path(SECRETS[0]),
        );
        has_key = true;
    }
    if let Some(entry) = source.get(&path("jwks_public_endpoint"))
        && let Some(url) = entry.value.as_str().filter(|url| !url.is_empty())
    {
        if is_guarded {
            draft.leave(entry, "what the regular expression keeps out would be let in");
        } else if url.parse::<ProxyUrl>().is_err() {
            draft.leave(entry, "not an http or https URL without patterns");
        } else {
            draft.set(&format!("tokens[{index}].jwks_url"), url.into(), &entry.written);
            has_key = true;
        }
    }
    for (option, key) in TEXTS {
        if let Some(entry) = source
            .get(&path(option))
            .filter(|entry| !value::is_off(&entry.value))
        {
            if has_key {
                draft.set(
                    &format!("tokens[{index}].{key}"),
                    entry.value.clone(),
                    &entry.written,
                );
            } else {
                draft.leave(entry, "no key was converted");
            }
        }
    }
    has_key
}

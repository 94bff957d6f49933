//! Keys of the server API. Findings name a key by its place: its text is secret.

use std::collections::HashSet;

use crate::{
    api::{METHODS, UNSCOPED},
    config::{
        error::Problems,
        secret::Secret,
        settings::{ApiKeySettings, ApiSettings, Settings},
    },
    namespace::DEFAULT_NAMESPACE,
};

const MAX_ENTRIES: usize = 64;

pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let api = &settings.api;
    let mut seen = Vec::new();
    keys("api.keys", &api.keys, settings, &mut seen, problems);
    file("api.keys_file", api.keys_file.as_deref(), problems);
    problems.within(
        "api.scoped_keys",
        api.scoped_keys.len(),
        0..=MAX_ENTRIES,
        |count| count,
    );
    let mut names = HashSet::new();
    for (index, entry) in api.scoped_keys.iter().enumerate() {
        let path = format!("api.scoped_keys[{index}]");
        let at = format!("{path}.name");
        if problems.sound(&[&at]) {
            problems.token(&at, &entry.name);
            if entry.name == UNSCOPED || !names.insert(&entry.name) {
                let problem = format!("{:?} is taken", entry.name);
                problems.add(&at, problem, "another name for each entry");
            }
        }
        keys(
            &format!("{path}.keys"),
            &entry.keys,
            settings,
            &mut seen,
            problems,
        );
        file(&format!("{path}.keys_file"), entry.keys_file.as_deref(), problems);
        scope(&path, entry, settings, problems);
    }
}

fn keys<'a>(
    path: &str,
    keys: &'a [Secret],
    settings: &Settings,
    seen: &mut Vec<&'a Secret>,
    problems: &mut Problems,
) {
    let open = !settings.listen.ip().is_loopback() && problems.sound(&["listen"]);
    let least = ApiSettings::KEY_LENGTH;
    for (index, key) in keys.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let text = key.text();
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            problems.add(&path, "not an API key", "printable ASCII characters, no spaces");
        } else if open && text.len() < least {
            let problem = format!(
                "{} characters can be guessed, and listen {} can be reached by others",
                text.len(),
                settings.listen
            );
            problems.add(&path, problem, format!("at least {least} characters"));
        }
        if seen.contains(&key) {
            problems.add(&path, "the same key twice", "each key once");
        }
        seen.push(key);
    }
}

fn file(path: &str, file: Option<&std::path::Path>, problems: &mut Problems) {
    if file.is_some_and(|file| file.as_os_str().is_empty()) {
        problems.add(path, "empty", "the path of a file, or null");
    }
}

fn scope(path: &str, entry: &ApiKeySettings, settings: &Settings, problems: &mut Problems) {
    let at = |key: &str| format!("{path}.{key}");
    let written = [at("keys"), at("keys_file")];
    if entry.keys.is_empty()
        && entry.keys_file.is_none()
        && problems.sound(&written.each_ref().map(String::as_str))
    {
        problems.add(path, "no keys", "keys or keys_file");
    }
    for (index, method) in entry.methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            let at = at(&format!("methods[{index}]"));
            problems.add(&at, format!("there is no method {method:?}"), METHODS.join(", "));
        }
    }
    for (index, name) in entry.namespaces.iter().enumerate() {
        let known = settings.rooms.namespaces.iter().any(|known| known.name == *name);
        if !known && name != DEFAULT_NAMESPACE && problems.sound(&["rooms.namespaces"]) {
            let at = at(&format!("namespaces[{index}]"));
            problems.add(
                &at,
                format!("there is no namespace {name:?}"),
                "a namespace of rooms.namespaces, or default",
            );
        }
    }
}

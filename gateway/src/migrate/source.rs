//! A file of Centrifugo as a list of options, each by the name that version 6 has for it.

use std::{fs, io, path::Path};

use serde_yaml_ng::Value;
use thiserror::Error;

use super::v5;

/// Why nothing was converted.
#[derive(Debug, Error)]
pub enum MigrateError {
    #[error("cannot read the file: {0}")]
    Read(#[from] io::Error),
    #[error("a file ends in .json, .yaml, .yml or .toml, for its format to be known")]
    Format,
    #[error("not JSON: {0}")]
    Json(serde_json::Error),
    #[error("not YAML: {0}")]
    Yaml(serde_yaml_ng::Error),
    #[error("not TOML: {0}")]
    Toml(toml::de::Error),
    #[error("a configuration is a section of options")]
    Shape,
    /// A value of another option's making: one that is taken out alone is listed and no error.
    #[error("what came out is no configuration")]
    Refused,
}

/// An option with a value of its own.
pub(super) struct Entry {
    /// As the file names it, such as `namespaces[0].history_size`.
    pub(super) written: String,
    /// As version 6 names it, such as `channel.namespaces[0].history_size`.
    pub(super) path: String,
    pub(super) value: Value,
}

/// Every option of a file, in its order.
pub(super) struct Source(Vec<Entry>);

impl Source {
    pub(super) fn read(path: &Path) -> Result<Self, MigrateError> {
        let text = fs::read_to_string(path)?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        Self::parse(&text, ending.unwrap_or_default())
    }

    /// Reads a text in the format that files with this ending have.
    pub(super) fn parse(text: &str, ending: &str) -> Result<Self, MigrateError> {
        let tree: Value = match ending {
            "json" => serde_json::from_str(text).map_err(MigrateError::Json)?,
            "yaml" | "yml" => serde_yaml_ng::from_str(text).map_err(MigrateError::Yaml)?,
            "toml" => toml::from_str(text).map_err(MigrateError::Toml)?,
            _ => return Err(MigrateError::Format),
        };
        let mut entries = Vec::new();
        match tree {
            Value::Null => {}
            Value::Mapping(_) => collect(String::new(), tree, &mut entries),
            _ => return Err(MigrateError::Shape),
        }
        Ok(Self(entries))
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.path == path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.value.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.get(path)
            .is_some_and(|entry| super::value::is_true(&entry.value))
    }

    /// Whether something stands there that is not off. What guards is on when in doubt, so this is more than [`Self::flag`].
    pub(super) fn is_on(&self, path: &str) -> bool {
        self.get(path)
            .is_some_and(|entry| !super::value::is_off(&entry.value))
    }

    /// Whether it stands there by its name of version 5.
    pub(super) fn is_old(&self, path: &str) -> bool {
        self.is_on(path) && self.get(path).is_some_and(|entry| entry.written != entry.path)
    }

    /// The option as the file has it, or as version 6 would.
    pub(super) fn written(&self, path: &str) -> String {
        self.get(path).map_or(path, |entry| &entry.written).to_owned()
    }

    /// A section's own options, or the one that is written in its place.
    pub(super) fn below<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| {
            entry
                .path
                .strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// How many sections a list has.
    pub(super) fn length(&self, list: &str) -> usize {
        let index = |entry: &Entry| {
            let (index, _) = entry
                .path
                .strip_prefix(list)?
                .strip_prefix('[')?
                .split_once(']')?;
            index.parse::<usize>().ok()
        };
        self.0.iter().filter_map(index).max().map_or(0, |last| last + 1)
    }
}

/// Goes down to what is no section. A list is one value, unless it is one of namespaces or proxies.
fn collect(written: String, value: Value, entries: &mut Vec<Entry>) {
    match value {
        Value::Mapping(section) if !section.is_empty() => {
            for (name, value) in section {
                let name = name.as_str().map_or_else(|| "?".to_owned(), str::to_lowercase);
                let below = if written.is_empty() {
                    name
                } else {
                    format!("{written}.{name}")
                };
                collect(below, value, entries);
            }
        }
        Value::Sequence(items) if is_list_of_sections(&written) && items.iter().all(Value::is_mapping) => {
            for (index, item) in items.into_iter().enumerate() {
                collect(format!("{written}[{index}]"), item, entries);
            }
        }
        value => entries.push(Entry {
            path: v5::current_name(&written),
            written,
            value,
        }),
    }
}

fn is_list_of_sections(written: &str) -> bool {
    matches!(written, "namespaces" | "channel.namespaces" | "proxies")
}

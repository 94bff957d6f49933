//! What a conversion gives, and what it is while it grows.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value};

use super::source::Entry;
use crate::config::Settings;

/// More findings than this in one file, each after the last was mended, are none that a person would want to read.
const MAX_ROUNDS: usize = 1_000;

/// What a file became.
#[derive(Debug)]
pub struct Outcome {
    /// A configuration in YAML that the gateway accepts.
    pub config: String,
    /// Options that could not be converted, or not as they were meant.
    pub left: Vec<Note>,
    /// Options that are not needed here.
    pub spared: Vec<Note>,
    /// How many options the file has.
    pub options: usize,
}

/// An option as the file names it, and why it is not in the new configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    pub option: String,
    pub why: String,
}

/// The configuration so far.
#[derive(Default)]
pub(super) struct Draft {
    tree: Value,
    /// The option of the file that each key comes from.
    origins: BTreeMap<String, String>,
    left: Vec<Note>,
    spared: Vec<Note>,
    options: usize,
}

impl Draft {
    /// Writes a key; `option` is where it comes from.
    pub(super) fn set(&mut self, key: &str, value: Value, option: &str) {
        self.origins.insert(key.to_owned(), option.to_owned());
        let mut at = &mut self.tree;
        for step in steps(key) {
            at = match step {
                Step::Name(name) => {
                    if !at.is_mapping() {
                        *at = Value::Mapping(Mapping::new());
                    }
                    let Value::Mapping(section) = at else { return };
                    section.entry(name.into()).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    if !at.is_sequence() {
                        *at = Value::Sequence(Vec::new());
                    }
                    let Value::Sequence(items) = at else { return };
                    if items.len() <= index {
                        items.resize(index + 1, Value::Null);
                    }
                    &mut items[index]
                }
            };
        }
        *at = value;
    }

    /// Counts an option that is looked at together with others.
    pub(super) fn count(&mut self) {
        self.options += 1;
    }

    pub(super) fn leave(&mut self, entry: &Entry, why: &str) {
        self.leave_key(&entry.written, why);
    }

    pub(super) fn leave_key(&mut self, option: &str, why: &str) {
        self.left.push(note(option, why));
    }

    pub(super) fn spare(&mut self, entry: &Entry, why: &str) {
        self.spared.push(note(&entry.written, why));
    }

    /// The configuration, without what the gateway would refuse; `None` when it refuses it for nothing that was written.
    pub(super) fn finish(mut self) -> Option<Outcome> {
        for _ in 0..MAX_ROUNDS {
            let config = serde_yaml_ng::to_string(&self.tree).ok()?;
            let Err(errors) = config.parse::<Settings>() else {
                return Some(Outcome {
                    config,
                    left: self.left,
                    spared: self.spared,
                    options: self.options,
                });
            };
            let error = errors.iter().find(|error| remove(&mut self.tree, &error.path))?;
            let mut why = format!("{} ({})", error.problem, error.expected);
            let option = self.origin(&error.path);
            if let Some(policy) = guarded(&error.path) {
                self.set(policy, "server".into(), &option);
                why.push_str("; written as `server`");
            }
            self.left.push(Note { option, why });
        }
        None
    }

    /// The option that a key comes from, or the section around it.
    fn origin(&self, key: &str) -> String {
        let mut at = key;
        loop {
            if let Some(option) = self.origins.get(at) {
                return option.clone();
            }
            match at.rfind(['.', '[']) {
                Some(end) => at = &at[..end],
                None => return key.to_owned(),
            }
        }
    }
}

/// The permission that a room's proxy stands behind: without the proxy it would let in whom nobody judged.
fn guarded(key: &str) -> Option<&str> {
    key.strip_suffix("_proxy").filter(|key| key.starts_with("rooms."))
}

fn note(option: &str, why: &str) -> Note {
    Note {
        option: option.to_owned(),
        why: why.to_owned(),
    }
}

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// `rooms.namespaces[1].name` step by step.
fn steps(key: &str) -> impl Iterator<Item = Step<'_>> {
    key.split(['.', '[']).map(|part| {
        let index = part.strip_suffix(']').and_then(|index| index.parse().ok());
        index.map_or(Step::Name(part), Step::Index)
    })
}

/// Takes a value out; false when it is not there.
fn remove(tree: &mut Value, key: &str) -> bool {
    let (above, last) = match key.rfind(['.', '[']) {
        Some(end) => (&key[..end], &key[end..]),
        None => ("", key),
    };
    let mut at = tree;
    for step in steps(above).filter(|step| !matches!(step, Step::Name(""))) {
        let below = match step {
            Step::Name(name) => at.get_mut(name),
            Step::Index(index) => at.get_mut(index),
        };
        let Some(below) = below else { return false };
        at = below;
    }
    match (at, steps(last.trim_start_matches(['.', '['])).next()) {
        (Value::Mapping(section), Some(Step::Name(name))) => section.remove(name).is_some(),
        (Value::Sequence(items), Some(Step::Index(index))) if index < items.len() => {
            items.remove(index);
            true
        }
        _ => false,
    }
}

//! Flags as sources: one layer each.

use serde_yaml_ng::Value;

use super::{
    error::Problems,
    kind::Kind,
    layer::Layer,
    schema::{self, Node},
};

/// One flag as it was given.
#[derive(Clone)]
pub(super) enum Flag {
    /// A flag of its own for one key, the value as in a variable.
    Named {
        name: &'static str,
        path: &'static str,
        text: String,
    },
    /// A flag that may be repeated, one element of a list each.
    Repeated {
        name: &'static str,
        path: &'static str,
        items: Vec<String>,
    },
    /// `--set path=value`, the value in YAML.
    Set(String),
}

impl Flag {
    pub(super) fn layer(&self, problems: &mut Problems) -> Option<Layer> {
        match self {
            Self::Named { name, path, text } => {
                let Some(Node::Leaf(kind)) = schema::find(path) else {
                    return None;
                };
                kind.read(text).ok().map(|value| Layer::at(name, path, value))
            }
            Self::Repeated { name, path, items } => {
                let items = items.iter().map(|item| Value::from(item.as_str())).collect();
                Some(Layer::at(name, path, Value::Sequence(items)))
            }
            Self::Set(assignment) => set(assignment, problems),
        }
    }
}

/// The value is never quoted: it may be an API key.
fn set(assignment: &str, problems: &mut Problems) -> Option<Layer> {
    let Some((path, text)) = assignment.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        problems.add(
            "--set",
            "no path and value",
            "path=value, such as client.ping_interval=30s",
        );
        return None;
    };
    if let Ok(value) = serde_yaml_ng::from_str(text) {
        return Some(Layer::at("--set", path, value));
    }
    let expected = match schema::find(path) {
        Some(Node::Leaf(kind)) if kind != Kind::Nullable => kind.expected(),
        _ => "such as --set client.ping_interval=30s".to_owned(),
    };
    problems.add(path, "the value after --set is not YAML", expected);
    None
}

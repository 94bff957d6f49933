//! One source's tree: its shape and types are checked against the schema, then it is merged over the ones before.

use serde_yaml_ng::{Mapping, Value};

use super::{
    error::Problems,
    kind::{Kind, shape, show},
    schema::{self, Node},
};

/// A tree and the variable or flag that it came from (`None`: the file).
pub(super) struct Layer {
    pub(super) from: Option<String>,
    pub(super) tree: Value,
}

impl Layer {
    /// A layer that sets one path.
    pub(super) fn at(from: &str, path: &str, value: Value) -> Self {
        let wrap = |inner, name: &str| Value::Mapping(Mapping::from_iter([(Value::from(name), inner)]));
        Self {
            from: Some(from.to_owned()),
            tree: path.rsplit('.').fold(value, wrap),
        }
    }

    /// The tree without what is wrong in it; every finding goes to `problems`.
    pub(super) fn checked(self, problems: &mut Problems) -> Mapping {
        problems.blame(self.from);
        let tree = match self.tree {
            Value::Mapping(map) => section(Place::ROOT, map, problems),
            _ => Mapping::new(),
        };
        problems.blame(None);
        tree
    }
}

/// Lays `over` upon `base`, which stands at `path`: sections key by key, everything else replaced. `null` takes back
/// what lower sources said, so that the built-in default holds, except where it has a meaning of its own.
pub(super) fn merge(base: &mut Mapping, over: Mapping, path: &str) {
    for (key, value) in over {
        let at = schema::join(path, key.as_str().unwrap_or_default());
        match value {
            Value::Mapping(over) => {
                let mut below = match base.remove(&key) {
                    Some(Value::Mapping(below)) => below,
                    _ => Mapping::new(),
                };
                merge(&mut below, over, &at);
                base.insert(key, Value::Mapping(below));
            }
            Value::Null if !matches!(schema::find(&at), Some(Node::Leaf(Kind::Nullable))) => {
                base.remove(&key);
            }
            value => {
                base.insert(key, value);
            }
        }
    }
}

/// A place in the tree: its path as shown (`rooms.namespaces[1].name`) and as the schema has it (`rooms.namespaces[].name`).
struct Place {
    shown: String,
    schema: String,
}

impl Place {
    const ROOT: Self = Self {
        shown: String::new(),
        schema: String::new(),
    };

    fn key(&self, name: &str) -> Self {
        Self {
            shown: schema::join(&self.shown, name),
            schema: schema::join(&self.schema, name),
        }
    }

    fn element(&self, index: usize) -> Self {
        Self {
            shown: format!("{}[{index}]", self.shown),
            schema: format!("{}[]", self.schema),
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the place of a section ends with it"
)]
fn section(at: Place, map: Mapping, problems: &mut Problems) -> Mapping {
    let mut kept = Mapping::new();
    for (key, value) in map {
        let Some(name) = key.as_str() else {
            let path = if at.shown.is_empty() {
                "configuration"
            } else {
                &at.shown
            };
            problems.add(
                path,
                format!("the key {} is not text", show(&key)),
                "names of settings",
            );
            continue;
        };
        if let Some(value) = entry(&at, name, value, problems) {
            kept.insert(key, value);
        }
    }
    kept
}

/// One key of a section.
fn entry(parent: &Place, name: &str, value: Value, problems: &mut Problems) -> Option<Value> {
    let at = parent.key(name);
    match schema::find(&at.schema) {
        None => {
            problems.add(&at.shown, "unknown key", meant(&parent.schema, name));
            None
        }
        Some(_) if value.is_null() => (!at.schema.contains("[]")).then_some(value),
        Some(Node::Section | Node::Leaf(Kind::Nullable)) => Some(Value::Mapping(nested(at, value, problems))),
        Some(Node::Leaf(Kind::Namespaces | Kind::Proxies | Kind::Issuers | Kind::ApiKeys)) => {
            sections(&at, value, problems)
        }
        Some(Node::Leaf(kind)) if kind.is_list() => list(&at, kind, value, problems),
        Some(Node::Leaf(kind)) => leaf(&at, kind, value, problems),
    }
}

fn meant(section: &str, name: &str) -> String {
    let found = schema::suggestions(section, name);
    if found.is_empty() {
        format!(
            "keys here: {}",
            schema::children(section).collect::<Vec<_>>().join(", ")
        )
    } else {
        format!("did you mean {}?", found.join(" or "))
    }
}

fn nested(at: Place, value: Value, problems: &mut Problems) -> Mapping {
    match value {
        Value::Mapping(map) => section(at, map, problems),
        other => {
            let keys = schema::children(&at.schema).collect::<Vec<_>>().join(", ");
            problems.add(
                &at.shown,
                format!("{} where a section belongs", shape(&other)),
                format!("keys: {keys}"),
            );
            Mapping::new()
        }
    }
}

fn leaf(at: &Place, kind: Kind, value: Value, problems: &mut Problems) -> Option<Value> {
    if kind.accepts(&value) {
        return Some(value);
    }
    problems.add(&at.shown, kind.refusal(&value), kind.expected());
    None
}

fn sequence(at: &Place, value: Value, problems: &mut Problems) -> Option<Vec<Value>> {
    match value {
        Value::Sequence(items) => Some(items),
        other => {
            let problem = format!("{} where a list belongs", shape(&other));
            problems.add(&at.shown, problem, "[a, b], or a line with a dash for each");
            None
        }
    }
}

fn list(at: &Place, kind: Kind, value: Value, problems: &mut Problems) -> Option<Value> {
    let items = sequence(at, value, problems)?;
    let count = items.len();
    let check = |(index, item)| leaf(&at.element(index), kind, item, problems);
    let kept: Vec<Value> = items.into_iter().enumerate().filter_map(check).collect();
    (kept.len() == count).then_some(Value::Sequence(kept))
}

/// Elements keep their place even when nothing of them is left, so that later findings name the right index.
fn sections(at: &Place, value: Value, problems: &mut Problems) -> Option<Value> {
    let items = sequence(at, value, problems)?;
    let check = |(index, item)| Value::Mapping(nested(at.element(index), item, problems));
    Some(Value::Sequence(
        items.into_iter().enumerate().map(check).collect(),
    ))
}

//! `NATTER_*` variables. A misspelt one is refused: a setting that silently does nothing is worse than a failed start.

use std::{collections::BTreeMap, env, ffi::OsString};

use super::{
    error::Problems,
    layer::Layer,
    schema::{KEYS, nearest},
};

const PREFIX: &str = "NATTER_";

/// The variable that names the file, for want of `--config`.
pub(super) const CONFIG: &str = "NATTER_CONFIG";

/// A snapshot of the `NATTER_*` variables. It holds secrets: no `Debug`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process, now.
    pub fn of_process() -> Self {
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The file named by `NATTER_CONFIG`.
    pub(super) fn config_file(&self) -> Option<&OsString> {
        self.0.get(CONFIG)
    }

    /// One layer a variable, in the order of the schema, so that `NATTER_BUS_NATS_NAME` lies over `NATTER_BUS_NATS`.
    pub(super) fn layers(&self, problems: &mut Problems) -> Vec<Layer> {
        self.report_unknown(problems);
        let mut layers = Vec::new();
        for key in KEYS {
            let name = variable(key.path);
            let Some(value) = self.0.get(&name) else { continue };
            let Some(text) = value.to_str() else {
                problems.add(&name, "not UTF-8", "text");
                continue;
            };
            match key.kind.read(text) {
                Ok(value) => layers.push(Layer::at(&name, key.path, value)),
                Err(error) => problems.add(&name, format!("not YAML: {error}"), key.kind.expected()),
            }
        }
        layers
    }

    fn report_unknown(&self, problems: &mut Problems) {
        let known: Vec<String> = KEYS
            .iter()
            .map(|key| variable(key.path))
            .chain([CONFIG.to_owned()])
            .collect();
        for name in self
            .0
            .keys()
            .filter(|name| !known.contains(name) && !is_service_link(name))
        {
            let stem = name.strip_prefix(PREFIX).unwrap_or(name);
            let stems = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
            let expected = match nearest(stem, stems) {
                Some(stem) => format!("did you mean {PREFIX}{stem}?"),
                None => "names are in docs/configuration.md".to_owned(),
            };
            problems.add(name, "unknown variable", expected);
        }
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    /// Keeps what starts with `NATTER_`.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let pairs = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(
            pairs
                .filter(|(name, _): &(String, _)| name.starts_with(PREFIX))
                .collect(),
        )
    }
}

/// The variable of a key; elements of lists have none.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// Kubernetes describes every Service of the namespace to each container: a Service named `natter` or `natter-…` puts
/// `NATTER_SERVICE_HOST`, `NATTER_SERVICE_PORT[_NAME]`, `NATTER_PORT` and `NATTER_PORT_8000_TCP[_PROTO|_PORT|_ADDR]`
/// beside our own variables (Kubernetes, "Service: Environment variables").
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name
            .match_indices("_PORT_")
            .any(|(at, word)| is_port(&name[at + word.len()..]))
}

/// `8000_TCP`, `8000_TCP_ADDR` and the like.
fn is_port(rest: &str) -> bool {
    let mut words = rest.split('_');
    let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
    let protocol = matches!(words.next(), Some("TCP" | "UDP" | "SCTP"));
    number
        && protocol
        && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
        && words.next().is_none()
}

//! Holds the sources and loads them, at the start and again at every reload.

use std::{
    fmt::Write as _,
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::Duration,
};

use serde_yaml_ng::{Mapping, Value};
use sha1::{Digest as _, Sha1};

use super::{
    Settings,
    environment::{CONFIG, Environment},
    error::{ConfigErrors, Problems},
    flag::Flag,
    kind,
    layer::{Layer, merge},
    raw::RawSettings,
    schema,
    validate::{resolve, validate},
    watch::Watcher,
};

/// The sources: a file's path, a snapshot of the environment, the flags. It holds secrets: no `Debug`.
#[derive(Clone)]
pub struct Loader {
    file: Option<PathBuf>,
    environment: Environment,
    flags: Vec<Flag>,
    machine: Machine,
}

/// Valid settings, and which file they came from.
pub struct Loaded {
    pub settings: Settings,
    /// SHA-1 of the file in hexadecimal, for whoever wrote it to know that it is in force; `None`: there is no file.
    pub file_hash: Option<String>,
}

/// What defaults are taken from the machine.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) host_name: String,
    pub(super) cores: usize,
}

impl Machine {
    fn this() -> Self {
        Self {
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            cores: thread::available_parallelism().map_or(1, NonZero::get),
        }
    }
}

impl Loader {
    /// Loads from `environment`, and from the file that `NATTER_CONFIG` names there.
    pub fn new(environment: Environment) -> Self {
        let file = environment.config_file().map(PathBuf::from);
        Self {
            file,
            environment,
            flags: Vec::new(),
            machine: Machine::this(),
        }
    }

    /// Reads this file, whatever `NATTER_CONFIG` says.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds a flag that sets `path`; later flags lie over earlier ones.
    #[must_use]
    pub fn with_flag(mut self, name: &'static str, path: &'static str, text: impl Into<String>) -> Self {
        self.flags.push(Flag::Named {
            name,
            path,
            text: text.into(),
        });
        self
    }

    /// Adds a repeatable flag that sets the list at `path`; no items: not given.
    #[must_use]
    pub fn with_list(mut self, name: &'static str, path: &'static str, items: Vec<String>) -> Self {
        if !items.is_empty() {
            self.flags.push(Flag::Repeated { name, path, items });
        }
        self
    }

    /// Adds a `--set path=value`.
    #[must_use]
    pub fn with_set(mut self, assignment: impl Into<String>) -> Self {
        self.flags.push(Flag::Set(assignment.into()));
        self
    }

    #[cfg(test)]
    pub(super) fn on(mut self, host_name: &str, cores: usize) -> Self {
        self.machine = Machine {
            host_name: host_name.to_owned(),
            cores,
        };
        self
    }

    /// The file that is read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Watches the file. Made before [`Loader::load`], so that a change between the two is not missed.
    pub fn watcher(&self, interval: Duration) -> Option<Watcher> {
        self.file.clone().map(|path| Watcher::new(path, interval))
    }

    /// Reads the file again and returns valid settings or every finding; nothing is kept between two calls.
    pub fn load(&self) -> Result<Settings, ConfigErrors> {
        self.read().map(|loaded| loaded.settings)
    }

    /// As [`Loader::load`], with the hash of what was read.
    pub fn read(&self) -> Result<Loaded, ConfigErrors> {
        let mut problems = Problems::default();
        let text = self.file_text(&mut problems);
        let mut layers: Vec<Layer> = text
            .iter()
            .filter_map(|(name, text)| document(name, text, &mut problems))
            .collect();
        layers.extend(self.environment.layers(&mut problems));
        layers.extend(self.flags.iter().filter_map(|flag| flag.layer(&mut problems)));
        let settings = assemble(layers, &self.machine, problems)?;
        let file_hash = text.map(|(_, text)| hash(&text));
        Ok(Loaded { settings, file_hash })
    }

    /// The file's name and content.
    fn file_text(&self, problems: &mut Problems) -> Option<(String, String)> {
        let path = self.file.as_deref()?;
        if path.as_os_str().is_empty() {
            problems.add(CONFIG, "empty", "the path of a YAML file");
            return None;
        }
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Some((name, text)),
            Err(error) => {
                let expected = match error.kind() {
                    io::ErrorKind::InvalidData => "a YAML file in UTF-8",
                    _ => "a YAML file that this user may read",
                };
                problems.add(&name, format!("cannot be read: {error}"), expected);
                None
            }
        }
    }
}

fn hash(text: &str) -> String {
    let digest = Sha1::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hash, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

impl Default for Settings {
    /// The built-in defaults on this machine.
    fn default() -> Self {
        resolve(RawSettings::default(), &Machine::this())
    }
}

impl FromStr for Settings {
    type Err = ConfigErrors;

    /// Settings from YAML text alone, without environment and flags.
    fn from_str(text: &str) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::default();
        let layers = document("configuration", text, &mut problems)
            .into_iter()
            .collect();
        assemble(layers, &Machine::this(), problems)
    }
}

fn document(name: &str, text: &str, problems: &mut Problems) -> Option<Layer> {
    match serde_yaml_ng::from_str(text) {
        Ok(Value::Null) => None,
        Ok(tree @ Value::Mapping(_)) => Some(Layer { from: None, tree }),
        Ok(other) => {
            let keys = schema::children("").collect::<Vec<_>>().join(", ");
            problems.add(
                name,
                format!("{} where a section belongs", kind::shape(&other)),
                format!("keys: {keys}"),
            );
            None
        }
        Err(error) => {
            problems.add(
                name,
                format!("not YAML: {error}"),
                "see docs/examples/gateway.yaml",
            );
            None
        }
    }
}

fn assemble(layers: Vec<Layer>, machine: &Machine, mut problems: Problems) -> Result<Settings, ConfigErrors> {
    let mut tree = Mapping::new();
    for layer in layers {
        merge(&mut tree, layer.checked(&mut problems), "");
    }
    let settings = match serde_path_to_error::deserialize::<_, RawSettings>(Value::Mapping(tree)) {
        Ok(raw) => Some(validate(raw, machine, &mut problems)),
        Err(error) => {
            problems.add(
                &error.path().to_string(),
                error.inner().to_string(),
                "see docs/configuration.md",
            );
            None
        }
    };
    problems.result(settings)
}

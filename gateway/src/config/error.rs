//! What is wrong with a configuration, as lines that a person can act on.

use std::fmt;

/// One finding: `path: what is wrong (what would be right)`, and where the value came from unless it was the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key's path, such as `rooms.namespaces[1].name`; a file name or a variable where no key is concerned.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub expected: String,
    /// The variable or flag that set the value.
    pub set_by: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.path, self.problem, self.expected)?;
        match &self.set_by {
            Some(name) if *name != self.path => write!(f, ", set by {name}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Every finding of one load or comparison; displayed one a line. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The findings in the order of the sources, then of the checks.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The findings so far; every check adds to it and none stops at the first.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<ConfigError>,
    source: Option<String>,
}

impl Problems {
    /// Findings from here on concern a value set by `source` (`None`: the file, or several sources together).
    pub(super) fn blame(&mut self, source: Option<String>) {
        self.source = source;
    }

    pub(super) fn add(&mut self, path: &str, problem: impl Into<String>, expected: impl Into<String>) {
        self.found.push(ConfigError {
            path: path.to_owned(),
            problem: problem.into(),
            expected: expected.into(),
            set_by: self.source.clone(),
        });
    }

    /// Whether nothing was found so far at, above or below these keys. A check across keys asks first: a default that
    /// stands in for a refused value must not cause a second finding.
    pub(super) fn sound(&self, paths: &[&str]) -> bool {
        let related =
            |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with(['.', '[']));
        !self.found.iter().any(|e| {
            paths
                .iter()
                .any(|path| related(&e.path, path) || related(path, &e.path))
        })
    }

    pub(super) fn result<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(ConfigErrors(self.found)),
        }
    }
}

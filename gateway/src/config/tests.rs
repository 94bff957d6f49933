//! The configuration from outside: text, variables and flags in; settings or exact error lines out.

mod accepted;
mod history;
mod reference;
mod refused;
mod reload;
mod secrets;
mod sources;
mod values;

use tempfile::NamedTempFile;

use super::{ConfigErrors, Environment, Loader, Settings};

/// A loader with a file of this text, these variables and a known machine.
struct Given {
    loader: Loader,
    _file: NamedTempFile,
}

impl Given {
    fn new<'a>(yaml: &str, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, yaml).unwrap();
        let environment: Environment = variables.into_iter().collect();
        let loader = Loader::new(environment).with_file(file.path()).on("gateway-0", 8);
        Self { loader, _file: file }
    }

    fn flags(mut self, change: impl FnOnce(Loader) -> Loader) -> Self {
        self.loader = change(self.loader);
        self
    }

    fn load(&self) -> Result<Settings, ConfigErrors> {
        self.loader.load()
    }

    fn lines(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }
}

fn yaml(text: &str) -> Given {
    Given::new(text, [])
}

//! Python scripts: the independent `websockets` client against our framing, `schemathesis` against the API.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::script::Script;
use crate::tools;

/// Starts `tests/<script>` with the interpreter of the cached virtual environment, output unbuffered.
pub fn start(script: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(script);
    ensure!(path.is_file(), "there is no script tests/{script}");
    let mut command = Command::new(tools::python()?);
    command
        .arg("-u")
        .arg(&path)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Script::start(&format!("python-{name}"), &mut command)
}

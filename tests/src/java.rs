//! Java programs of one file, run from their source: the official Java client.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::script::Script;
use crate::tools;

/// Starts `tests/<source>` with the jars that `scripts/setup` copied into the cache.
pub fn start(source: &str, env: &[(&str, &str)]) -> Result<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(source);
    ensure!(path.is_file(), "there is no program tests/{source}");
    let jars = tools::jars()?.join("*");
    let mut command = Command::new(tools::java()?);
    command
        .arg("-Dfile.encoding=UTF-8")
        .arg("--class-path")
        .arg(jars)
        .arg(&path)
        .envs(env.iter().copied())
        .current_dir(root);
    let name = path.file_stem().context("a source has a name")?;
    Script::start(&format!("java-{}", name.to_string_lossy()), &mut command)
}

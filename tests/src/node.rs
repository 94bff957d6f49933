//! Node.js scripts: the official JavaScript SDK (`tests/sdk`) and the browser (`tests/page`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::artifacts;
use crate::script::Script;
use crate::tools;

/// Starts `tests/<script>` on Node.js with the given environment; it needs the packages of `tests/package.json`.
pub fn start(script: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ensure!(
        root.join("node_modules").is_dir(),
        "tests/node_modules is missing: run scripts/setup, which installs the packages of tests/package.json"
    );
    run(root, script, args, env)
}

/// Starts `tests/<script>` for the browser: `CHROMIUM` holds its path, `NATTER_ARTIFACTS` a directory for screenshots.
pub fn start_page(script: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Script> {
    let chromium = tools::chromium().context("page tests need Chromium")?;
    let chromium = chromium.to_string_lossy();
    let directory = artifacts();
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let directory = directory.to_string_lossy();
    let mut all = vec![
        ("CHROMIUM", chromium.as_ref()),
        ("NATTER_ARTIFACTS", directory.as_ref()),
    ];
    all.extend_from_slice(env);
    run(Path::new(env!("CARGO_MANIFEST_DIR")), script, args, &all)
}

fn run(root: &Path, script: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Script> {
    let path = root.join(script);
    ensure!(path.is_file(), "there is no script tests/{script}");
    let mut command = Command::new(tools::node()?);
    command
        .arg(&path)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Script::start(&format!("node-{name}"), &mut command)
}

//! What promtool says about the rules. That each alert has its page and its tests is a check in `scripts/checks/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use natter_tests::prometheus::promtool;

/// The rule files of the chart.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    yaml_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/natter/monitoring/rules"))
}

fn yaml_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<_> = listed.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    ensure!(!files.is_empty(), "no rules in {}", folder.display());
    files.iter().map(|path| Ok(path.canonicalize()?)).collect()
}

fn with(arguments: &[&str], files: &[PathBuf]) -> Vec<String> {
    let paths = files.iter().map(|path| path.to_string_lossy().into_owned());
    arguments.iter().map(ToString::to_string).chain(paths).collect()
}

async fn run(arguments: &[&str], files: &[PathBuf]) -> Result<()> {
    let arguments = with(arguments, files);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    promtool(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments).await
}

#[tokio::test]
async fn the_rules_are_sound() -> Result<()> {
    run(&["check", "rules", "--lint=all", "--lint-fatal"], &files()?).await
}

#[tokio::test]
async fn alerts_fire_when_they_should_and_not_otherwise() -> Result<()> {
    let tests = yaml_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring"))?;
    ensure!(
        tests.len() == files()?.len(),
        "one file of tests for each of rules: {tests:?}"
    );
    run(&["test", "rules"], &tests).await
}

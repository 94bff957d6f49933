//! Where the programs are that tests run; `scripts/setup` installs those that are missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::OnceCell;

use crate::process::Process;

/// A debug build of a program on a slow, busy machine.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// The NATS server: `NATS_SERVER`, the cache, then `PATH`.
pub fn nats_server() -> Result<PathBuf> {
    find("NATS_SERVER", Some("bin/nats-server"), &["nats-server"])
}

/// The NATS server of this version, as `scripts/setup` installs it.
pub fn nats_server_version(version: &str) -> Result<PathBuf> {
    let program = cache()
        .context("neither NATTER_CACHE nor HOME is set")?
        .join(format!("nats-server/{version}/nats-server"));
    ensure!(
        program.is_file(),
        "{} not found: run scripts/setup, which installs it",
        program.display()
    );
    Ok(program)
}

/// The Prometheus server: `PROMETHEUS`, the cache, then `PATH`.
pub fn prometheus() -> Result<PathBuf> {
    find("PROMETHEUS", Some("bin/prometheus"), &["prometheus"])
}

/// The tool that checks and tests Prometheus rules: `PROMTOOL`, the cache, then `PATH`.
pub fn promtool() -> Result<PathBuf> {
    find("PROMTOOL", Some("bin/promtool"), &["promtool"])
}

/// Helm: `HELM`, the cache, then `PATH`.
pub fn helm() -> Result<PathBuf> {
    find("HELM", Some("bin/helm"), &["helm"])
}

/// nginx: `NGINX`, the cache, then `PATH`.
pub fn nginx() -> Result<PathBuf> {
    find("NGINX", Some("bin/nginx"), &["nginx"])
}

/// `HAProxy`: `HAPROXY`, the cache, then `PATH`.
pub fn haproxy() -> Result<PathBuf> {
    find("HAPROXY", Some("bin/haproxy"), &["haproxy"])
}

/// Node.js: `NODE`, then `PATH`.
pub fn node() -> Result<PathBuf> {
    find("NODE", None, &["node", "nodejs"])
}

/// A Chromium that can run headless: `CHROMIUM`, then `PATH`.
pub fn chromium() -> Result<PathBuf> {
    find(
        "CHROMIUM",
        None,
        &["chromium", "chromium-browser", "google-chrome"],
    )
}

/// The Python interpreter of the cached virtual environment, which has `websockets`.
pub fn python() -> Result<PathBuf> {
    find("NATTER_PYTHON", Some("venv/bin/python"), &[])
}

/// Java, which compiles a source that it is given: `JAVA`, then `PATH`.
pub fn java() -> Result<PathBuf> {
    find("JAVA", None, &["java"])
}

/// The folder with the jars of `tests/sdk/java/pom.xml`.
pub fn jars() -> Result<PathBuf> {
    let folder = cache()
        .context("neither NATTER_CACHE nor HOME is set")?
        .join("java/jars");
    ensure!(
        folder.is_dir(),
        "{} not found: run scripts/setup, which fills it",
        folder.display()
    );
    Ok(folder)
}

/// The gateway: `NATTER_GATEWAY_BIN`, or built once per test process in the profile of the tests.
pub async fn gateway() -> Result<PathBuf> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    built("NATTER_GATEWAY_BIN", "natter-gateway", &BINARY).await
}

/// The operator: `NATTER_OPERATOR_BIN`, or built once per test process in the profile of the tests.
pub async fn operator() -> Result<PathBuf> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    built("NATTER_OPERATOR_BIN", "natter-operator", &BINARY).await
}

async fn built(variable: &str, package: &str, binary: &OnceCell<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return existing(variable, PathBuf::from(path));
    }
    binary.get_or_try_init(|| build(package)).await.cloned()
}

fn find(variable: &str, cached: Option<&str>, names: &[&str]) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return existing(variable, PathBuf::from(path));
    }
    let cached = cached.and_then(|file| Some(cache()?.join(file)));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = std::env::split_paths(&on_path).collect();
    let candidates = names
        .iter()
        .flat_map(|name| on_path.iter().map(move |directory| directory.join(name)));
    let found = cached
        .iter()
        .cloned()
        .chain(candidates)
        .find(|path| path.is_file());
    found.with_context(|| {
        let looked = cached.map(|path| path.display().to_string());
        let looked: Vec<_> = looked
            .into_iter()
            .chain(names.iter().map(|name| format!("{name} on PATH")))
            .collect();
        format!(
            "{} not found: run scripts/setup, which installs it, or set {variable}",
            looked.join(", ")
        )
    })
}

fn existing(variable: &str, path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{variable} names {}, which is not a file", path.display());
    }
    Ok(path)
}

/// The directory into which `scripts/setup` installs programs.
fn cache() -> Option<PathBuf> {
    let chosen = std::env::var_os("NATTER_CACHE").map(PathBuf::from);
    chosen.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/natter")))
}

/// Cargo serialises builds of several test processes by its own lock.
async fn build(package: &str) -> Result<PathBuf> {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["build", "--package", package, "--message-format", "json"]);
    command
        .args(["--profile", &profile()])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    forget_this_package(&mut command);
    let cargo = Process::spawn("cargo", &mut command)?;
    let status = cargo.wait_exit(BUILD_LIMIT).await?;
    if !status.success() {
        bail!("{package} does not build ({status}):\n{}", cargo.stderr().tail());
    }
    let lines = cargo.stdout().all();
    let built = lines.iter().find_map(|line| executable(line, package));
    built.with_context(|| format!("cargo built no executable of {package}"))
}

/// Takes out what cargo set for this test: build scripts that look at it (that of ring does) would run again, here and in the next
/// `cargo test`, and everything above them be built anew each time.
fn forget_this_package(command: &mut std::process::Command) {
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_package) {
            command.env_remove(name);
        }
    }
}

/// The profile of the running tests, read from `target/<directory>/deps/<test>`.
fn profile() -> String {
    let test = std::env::current_exe().unwrap_or_default();
    let directory = test
        .ancestors()
        .nth(2)
        .and_then(Path::file_name)
        .unwrap_or_default();
    match directory.to_string_lossy().as_ref() {
        "debug" | "" => "dev".to_owned(),
        other => other.to_owned(),
    }
}

/// The program of a `compiler-artifact` message of cargo.
fn executable(message: &str, package: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let named = message["target"]["name"] == package;
    message["executable"]
        .as_str()
        .filter(|_| named)
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_script_that_installs_it() {
        let error = find("NATTER_NO_SUCH", None, &["natter-no-such-program"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("natter-no-such-program on PATH") && error.contains("scripts/setup"),
            "{error}"
        );
    }

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"natter-gateway"},"executable":"/t/natter-gateway"}"#;
        let executable = |message| executable(message, "natter-gateway");
        assert_eq!(executable(message), Some(PathBuf::from("/t/natter-gateway")));
        let library = r#"{"target":{"name":"natter-gateway"},"executable":null}"#;
        assert_eq!(executable(library), None);
        let other = r#"{"target":{"name":"other"},"executable":"/t/other"}"#;
        assert_eq!(executable(other), None);
    }
}

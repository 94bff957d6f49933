//! That these tests run on the versions that the gateway names, installed by `scripts/setup`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use natter_gateway::bus::tested_servers;
use natter_tests::tools;

#[test]
fn setup_installs_what_the_gateway_names() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/env.sh");
    let script = std::fs::read_to_string(path)?;
    let line = |name: &str| {
        let line = script.lines().find_map(|line| line.strip_prefix(name));
        line.with_context(|| format!("{name} is not in scripts/env.sh"))
    };
    let tested: Vec<_> = tested_servers().collect();
    assert_eq!(
        line("readonly nats_server_versions=")?,
        format!("({})", tested.join(" "))
    );
    for version in tested {
        let program = tools::nats_server_version(&version)?;
        let said = Command::new(program).arg("--version").output()?;
        let said = String::from_utf8(said.stdout)?;
        assert!(said.trim().ends_with(&format!(" v{version}")), "{said}");
    }
    Ok(())
}

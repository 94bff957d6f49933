//! Which NATS servers durable rooms work with.
//!
//! They rest on behaviour that NATS documents in part only (error codes of refused publications, headers, the order of
//! live copies and acknowledgements). The conformance suite (`tests/tests/conformance/`) pins it on the versions named
//! here, which `scripts/setup` installs.

use crate::bus::condition::{ServerCondition, ServerSupport};

/// Batched direct reads and per-subject last sequences came with it.
const OLDEST: (u32, u32) = (2, 11);

/// Newest patch of each tested minor version, oldest first; older patches have known faults.
const TESTED: [(u32, u32, u32); 3] = [(2, 12, 15), (2, 14, 9), (2, 15, 2)];

/// The versions of `nats-server` that the conformance tests run against, oldest first.
pub fn tested_servers() -> impl Iterator<Item = String> {
    TESTED
        .iter()
        .map(|(major, minor, patch)| format!("{major}.{minor}.{patch}"))
}

/// What durable rooms can expect of a server.
pub(in crate::bus::nats) fn judge(version: &str) -> ServerCondition {
    let (support, message) = verdict(version);
    ServerCondition {
        version: version.to_owned(),
        support,
        message,
    }
}

fn verdict(version: &str) -> (ServerSupport, Option<String>) {
    let tested: Vec<_> = tested_servers().collect();
    let tested = tested.join(", ");
    let Some((major, minor, patch)) = parse(version) else {
        let message = format!("version {version:?} of the NATS server is not known: use one of {tested}");
        return (ServerSupport::Untested, Some(message));
    };
    if (major, minor) < OLDEST {
        let message = format!(
            "NATS server {version} is too old for durable rooms, which need {}.{} or newer: use one of {tested}",
            OLDEST.0, OLDEST.1
        );
        return (ServerSupport::TooOld, Some(message));
    }
    let known = TESTED
        .iter()
        .find(|&&(tested_major, tested_minor, _)| (tested_major, tested_minor) == (major, minor));
    match known {
        Some(&(.., newest)) if patch >= newest => (ServerSupport::Supported, None),
        Some(&(.., newest)) => {
            let message = format!(
                "NATS server {version} is older than {major}.{minor}.{newest}: update it, older patches have known faults"
            );
            (ServerSupport::Outdated, Some(message))
        }
        None => {
            let message =
                format!("durable rooms are not tested with NATS server {version}: use one of {tested}");
            (ServerSupport::Untested, Some(message))
        }
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let release = version.split(['-', '+']).next()?;
    let mut numbers = release.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_refused_warned_about_or_taken() {
        for (version, support, message) in [
            ("2.10.29", ServerSupport::TooOld, "need 2.11 or newer"),
            ("2.11.17", ServerSupport::Untested, "not tested"),
            ("2.12.2", ServerSupport::Outdated, "older than 2.12.15"),
            ("2.12.15", ServerSupport::Supported, ""),
            (
                "2.13.0",
                ServerSupport::Untested,
                "use one of 2.12.15, 2.14.9, 2.15.2",
            ),
            ("2.14.9", ServerSupport::Supported, ""),
            ("2.15.1", ServerSupport::Outdated, "older than 2.15.2"),
            ("2.15.3-RC.1", ServerSupport::Supported, ""),
            ("3.0.0", ServerSupport::Untested, "not tested"),
            ("devel", ServerSupport::Untested, "not known"),
        ] {
            let found = judge(version);
            assert_eq!(found.support, support, "{version}");
            assert_eq!(found.message.is_some(), !message.is_empty(), "{version}");
            assert!(found.message.unwrap_or_default().contains(message), "{version}");
        }
    }
}

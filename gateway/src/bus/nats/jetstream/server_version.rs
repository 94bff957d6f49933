//! Which NATS servers durable rooms work with.

use super::streams::StreamError;

/// Batched direct reads and per-subject last sequences came with it.
const OLDEST: (u32, u32) = (2, 11);

/// Newest patch of each tested minor version; older patches have known faults.
const NEWEST: [(u32, u32, u32); 3] = [(2, 12, 15), (2, 14, 9), (2, 15, 2)];

/// Refuses servers that cannot work; returns a warning for those that may not work well.
pub(super) fn check(version: &str) -> Result<Option<String>, StreamError> {
    let Some((major, minor, patch)) = parse(version) else {
        return Ok(Some(format!(
            "version {version:?} of the NATS server is not known"
        )));
    };
    if (major, minor) < OLDEST {
        return Err(StreamError::OldServer(version.to_owned()));
    }
    let tested = NEWEST
        .iter()
        .find(|&&(tested_major, tested_minor, _)| (tested_major, tested_minor) == (major, minor));
    Ok(match tested {
        Some(&(.., newest)) if patch >= newest => None,
        Some(&(.., newest)) => Some(format!(
            "NATS server {version} is older than {major}.{minor}.{newest}: update it, durable rooms are tested with the newest patch"
        )),
        None => Some(format!(
            "durable rooms are not tested with NATS server {version}: use the newest patch of 2.12, 2.14 or 2.15"
        )),
    })
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
        assert_eq!(
            check("2.10.29"),
            Err(StreamError::OldServer("2.10.29".to_owned()))
        );
        for (version, warning) in [
            ("2.11.17", Some("not tested")),
            ("2.12.2", Some("older than 2.12.15")),
            ("2.12.15", None),
            ("2.13.0", Some("not tested")),
            ("2.14.9", None),
            ("2.15.2", None),
            ("2.15.3-RC.1", None),
            ("3.0.0", Some("not tested")),
            ("devel", Some("not known")),
        ] {
            let found = check(version).unwrap();
            assert_eq!(found.is_some(), warning.is_some(), "{version}: {found:?}");
            assert!(
                found.unwrap_or_default().contains(warning.unwrap_or_default()),
                "{version}"
            );
        }
    }
}

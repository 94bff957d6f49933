//! Headers of a call. Of what the client sent the backend is given what the proxy lists, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    config::{ProxySettings, StaticHeader},
    watched_file::WatchedFile,
};

/// How soon a file that was replaced is read again.
const FRESH: Duration = Duration::from_secs(1);

/// Those headers of a client's request that some proxy lists. Lives as long as the connection, so nothing in it shares the
/// memory of the whole request.
#[derive(Clone, Debug, Default)]
pub struct Forwarded(Box<[(HeaderName, HeaderValue)]>);

/// Headers that every call of a proxy has.
pub(super) struct Statics {
    always: Vec<StaticHeader>,
    file: Option<WatchedFile<Vec<StaticHeader>>>,
}

/// The file with a proxy's headers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The line's text may be secret.
    #[error("{}, line {line}: not a header, which is a name, a colon and a value", path.display())]
    Line { path: PathBuf, line: usize },
}

impl Forwarded {
    pub(super) fn of(names: &[HeaderName], request: &HeaderMap) -> Self {
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        let values = |name: &HeaderName| {
            let values = request.get_all(name).iter().filter_map(copy);
            values.map(|value| (name.clone(), value)).collect::<Vec<_>>()
        };
        Self(names.iter().flat_map(values).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Statics {
    pub(super) fn new(settings: &ProxySettings) -> Result<Self, HeadersError> {
        let file = settings
            .static_headers_file
            .clone()
            .map(|path| WatchedFile::open("static headers of a proxy", FRESH, move || read(&path)));
        Ok(Self {
            always: settings.static_headers.clone(),
            file: file.transpose()?,
        })
    }

    fn current(&self) -> Vec<StaticHeader> {
        let mut headers = self.always.clone();
        if let Some(file) = &self.file {
            headers.extend(file.current().iter().cloned());
        }
        headers
    }
}

/// Headers of a file, one a line.
pub fn read(path: &Path) -> Result<Vec<StaticHeader>, HeadersError> {
    let text = fs::read_to_string(path).map_err(|source| HeadersError::Read {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            line.parse().map_err(|_| HeadersError::Line {
                path: path.to_owned(),
                line: index + 1,
            })
        })
        .collect()
}

/// All headers of a call. What the client sent goes over what is static, as in Centrifugo: so a static value is a default.
pub(super) fn of_call(
    listed: &[HeaderName],
    statics: &Statics,
    forwarded: &Forwarded,
    traceparent: Option<&str>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for StaticHeader { name, value } in statics.current() {
        headers.insert(name, value);
    }
    for name in listed {
        let mut given = forwarded.0.iter().filter(|(given, _)| given == name);
        if let Some((name, value)) = given.next() {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in given {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert("traceparent", value);
    }
    let agent = concat!("natter-gateway/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    fn names(names: &[&str]) -> Vec<HeaderName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn only_listed_headers_leave_the_gateway() {
        let mut request = HeaderMap::new();
        for (name, value) in [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-secret", "s"),
            ("x-other", "o"),
        ] {
            request.append(name, HeaderValue::from_static(value));
        }
        // Another proxy lists one header more.
        let forwarded = Forwarded::of(&names(&["cookie", "x-other", "absent"]), &request);
        let settings = ProxySettings {
            static_headers: vec!["X-Key: k".parse().unwrap(), "Cookie: none".parse().unwrap()],
            ..ProxySettings::default()
        };
        let statics = Statics::new(&settings).unwrap();
        let headers = of_call(
            &names(&["cookie", "absent"]),
            &statics,
            &forwarded,
            Some("00-a-b-01"),
        );
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .filter(|header| !header.starts_with("user-agent"))
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "content-type=application/json",
                "cookie=a=1",
                "cookie=b=2",
                "traceparent=00-a-b-01",
                "x-key=k"
            ]
        );
        let without = of_call(&names(&["cookie"]), &statics, &Forwarded::default(), None);
        assert_eq!(without["cookie"], "none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_and_a_broken_one_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        let settings = ProxySettings {
            static_headers_file: Some(path.clone()),
            ..ProxySettings::default()
        };
        assert!(Statics::new(&settings).is_err());
        fs::write(&path, "X-Key: old\n\n").unwrap();
        let statics = Statics::new(&settings).unwrap();
        let value = || statics.current()[0].value.to_str().unwrap().to_owned();
        for (text, expected) in [
            ("X-Key: new", "new"),
            ("no header", "new"),
            ("X-Key: newest", "newest"),
        ] {
            fs::write(&path, text).unwrap();
            sleep(2 * FRESH).await;
            assert_eq!(value(), expected);
        }
        fs::write(&path, "secret without a name").unwrap();
        let error = Statics::new(&settings).err().unwrap().to_string();
        assert!(
            error.contains("line 1") && !error.contains("secret without"),
            "{error}"
        );
    }
}

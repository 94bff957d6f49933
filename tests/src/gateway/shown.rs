//! What a gateway has shown of its secrets, in its output and on its ops port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Gateway;
use crate::secrets::{self, Leak};

/// Bound of one look at the ops port, which a gateway that was stopped does not answer.
const LIMIT: Duration = Duration::from_secs(2);

impl Gateway {
    /// The secrets that are shown in the gateway's log and on its ops port. Whoever asks judges them: dropping the gateway does
    /// not fail the test any more.
    pub fn shown_secrets(&self) -> Vec<Leak> {
        self.watched.store(true, Ordering::Relaxed);
        self.look()
    }

    /// Fails the test when a secret is shown.
    pub(super) fn check_shown(&self) {
        if !self.watched.load(Ordering::Relaxed) {
            secrets::fail(&self.look());
        }
    }

    fn look(&self) -> Vec<Leak> {
        let process = self.process();
        let mut secrets = self.launch.secrets.lock();
        let mut leaks = Vec::new();
        for (place, lines) in [("stdout", process.stdout()), ("stderr", process.stderr())] {
            leaks.extend(secrets.shown_in(place, &lines.all().join("\n")));
        }
        if matches!(process.exited(), Ok(None)) {
            for path in ["/metrics", "/readyz"] {
                leaks.extend(secrets.shown_in(path, &self.ops_page(path).unwrap_or_default()));
            }
        }
        leaks
    }

    /// Without a runtime: a gateway may be dropped where there is none any more.
    fn ops_page(&self, path: &str) -> std::io::Result<String> {
        let mut socket = TcpStream::connect_timeout(&self.running().ops, LIMIT)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut page = Vec::new();
        socket.read_to_end(&mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.check_shown();
    }
}

//! All that a program shows of itself: its output and, while it runs, its ops port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::process::Process;

/// Bound of one look at the ops port, which a program that was stopped does not answer.
const LIMIT: Duration = Duration::from_secs(2);
const PAGES: [&str; 2] = ["/metrics", "/readyz"];

/// Texts, and where they were found.
pub(crate) fn shown_by(process: &Process, ops: SocketAddr) -> Vec<(&'static str, String)> {
    let mut shown = vec![
        ("stdout", process.stdout().all().join("\n")),
        ("stderr", process.stderr().all().join("\n")),
    ];
    if matches!(process.exited(), Ok(None)) {
        shown.extend(PAGES.map(|path| (path, page(ops, path).unwrap_or_default())));
    }
    shown
}

/// Without a runtime: whoever looks may be dropped where there is none any more.
fn page(ops: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&ops, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut page = Vec::new();
    socket.read_to_end(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

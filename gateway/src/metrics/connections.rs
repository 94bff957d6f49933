//! Sockets from accept to their ending.

use std::io;

use prometheus::{IntCounter, IntGauge};
use rustix::io::Errno;

use super::family::{LabeledCounter, Registrar};
use crate::session::Ending;

/// Open connections, and how connections came to nothing.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Client connections that are open now.
    pub open: IntGauge,
    total: IntCounter,
    refused: LabeledCounter,
    handshake_failures: LabeledCounter,
    disconnects: LabeledCounter,
    accept_errors: LabeledCounter,
}

/// Why the gateway answered an upgrade with an HTTP error although the request was well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The gateway drains.
    Draining,
    /// 95 % of the limit of open files are used.
    FileLimit,
    /// The `Origin` header is not allowed.
    Origin,
    /// The bus is critical and down.
    Bus,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// There are too many connections, or they come too fast.
    Limit,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Draining,
        Self::FileLimit,
        Self::Origin,
        Self::Bus,
        Self::Unauthorized,
        Self::Limit,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::FileLimit => "file_limit",
            Self::Origin => "origin",
            Self::Bus => "bus",
            Self::Unauthorized => "unauthorized",
            Self::Limit => "limit",
        }
    }
}

/// What ended a connection before its upgrade was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The request did not end in time.
    Timeout,
    /// The head of the request, or the body of one for a stream, is larger than allowed.
    TooLarge,
    /// Not HTTP.
    Malformed,
    /// The peer left.
    Closed,
    /// The peer took nothing of an answer for so long that the kernel gave it up.
    Unread,
    /// No header of the PROXY protocol where a trusted proxy has to send one.
    ProxyProtocol,
    /// The TLS handshake did not end in time.
    TlsTimeout,
    /// Not TLS.
    TlsMalformed,
    /// No version or cipher in common, or no certificate that would be accepted.
    TlsUnacceptable,
    /// The peer does not accept the gateway's certificate, or something else of it.
    TlsRejected,
}

impl HandshakeFailure {
    const ALL: [Self; 10] = [
        Self::Timeout,
        Self::TooLarge,
        Self::Malformed,
        Self::Closed,
        Self::Unread,
        Self::ProxyProtocol,
        Self::TlsTimeout,
        Self::TlsMalformed,
        Self::TlsUnacceptable,
        Self::TlsRejected,
    ];

    /// What hyper found wrong with a connection.
    pub fn of(error: &hyper::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_parse_too_large() {
            Self::TooLarge
        } else if error.is_parse() {
            Self::Malformed
        } else {
            Self::Closed
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Closed => "closed",
            Self::Unread => "unread",
            Self::ProxyProtocol => "proxy_protocol",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsMalformed => "tls_malformed",
            Self::TlsUnacceptable => "tls_unacceptable",
            Self::TlsRejected => "tls_rejected",
        }
    }
}

/// Why `accept` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFailure {
    /// The process or the machine has no descriptor left: waiting helps, trying again at once does not.
    Descriptors,
    /// The kernel has no memory for a socket: as with descriptors.
    Memory,
    /// The peer left before it was accepted.
    Aborted,
    Other,
}

impl AcceptFailure {
    const ALL: [Self; 4] = [Self::Descriptors, Self::Memory, Self::Aborted, Self::Other];

    pub fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Self::Descriptors,
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::Memory,
            Some(Errno::CONNABORTED | Errno::CONNRESET | Errno::INTR) => Self::Aborted,
            _ => Self::Other,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
            Self::Aborted => "aborted",
            Self::Other => "other",
        }
    }
}

impl ConnectionMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            open: registrar.gauge("natter_connections", "Open client connections")?,
            total: registrar.counter(
                "natter_connections_total",
                "Client connections opened since start",
            )?,
            refused: registrar.labeled(
                "natter_connections_refused_total",
                "Well-formed upgrades answered with an HTTP error, and sockets closed at once for want of descriptors",
                &["reason"],
                Refusal::ALL.map(Refusal::label),
            )?,
            handshake_failures: registrar.labeled(
                "natter_handshake_failures_total",
                "Connections that ended before a valid upgrade, unreadable requests of streams, and answers that are not taken, by what was wrong",
                &["kind"],
                HandshakeFailure::ALL.map(HandshakeFailure::label),
            )?,
            disconnects: registrar.labeled(
                "natter_disconnects_total",
                "Connections ended since start, by the reason of the ending",
                &["reason"],
                Ending::labels(),
            )?,
            accept_errors: registrar.labeled(
                "natter_accept_errors_total",
                "Failures to accept a socket",
                &["kind"],
                AcceptFailure::ALL.map(AcceptFailure::label),
            )?,
        })
    }

    /// A connection is open.
    pub fn opened(&self) {
        self.open.inc();
        self.total.inc();
    }

    /// An open connection has ended; `reason` is the label of its ending.
    pub fn closed(&self, reason: &'static str) {
        self.open.dec();
        self.disconnects.inc(reason);
    }

    pub fn refused(&self, reason: Refusal) {
        self.refused.inc(reason.label());
    }

    /// `kind` is the label of a [`HandshakeFailure`] or of the framing's handshake error.
    pub fn handshake_failed(&self, kind: &'static str) {
        self.handshake_failures.inc(kind);
    }

    pub fn accept_failed(&self, kind: AcceptFailure) {
        self.accept_errors.inc(kind.label());
    }
}

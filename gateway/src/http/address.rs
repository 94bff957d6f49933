//! Where a client is, behind the proxies that are trusted to say so.
//!
//! The one who connects is the client, unless it is a trusted proxy: then it is whom the header of the PROXY protocol names, and
//! if that is a trusted proxy again, whom `X-Forwarded-For` names. Of the addresses there the last was added by the one who
//! connected, the one before by the last, and so on, so the client is the last that is no trusted proxy: whatever stands before it may be
//! its own invention.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Of who connected, or whom the PROXY protocol names.
    address: IpAddr,
    /// Whether the address is the peer's own, and not that of a proxy which does not name whom it connects for.
    is_named: bool,
}

impl Peer {
    pub(super) fn at(address: IpAddr) -> Self {
        Self {
            address,
            is_named: true,
        }
    }

    /// Somebody behind a proxy that does not say who. Nothing more is believed: what follows is not the proxy's word.
    pub(super) fn behind(proxy: IpAddr) -> Self {
        Self {
            address: proxy,
            is_named: false,
        }
    }

    /// Whether it may say for whom its requests are.
    pub(super) fn is_trusted(self, trusted: &[IpNet]) -> bool {
        self.is_named && is_trusted(self.address, trusted)
    }
}

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether an address is that of a trusted proxy.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The client of a request.
pub(super) fn of_client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.address.to_canonical();
    if !peer.is_named {
        return client;
    }
    // Several headers are one list.
    let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        if !is_trusted(client, trusted) {
            break;
        }
        // What cannot be read was said by nobody who is trusted.
        let Some(before) = parse(entry) else { break };
        client = before;
    }
    client
}

/// An address, of which some proxies also tell the port.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[&'static str]) -> String {
        of(Peer::at(peer.parse().unwrap()), headers)
    }

    fn of(peer: Peer, headers: &[&'static str]) -> String {
        let trusted = trusted();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        of_client(peer, &map, &trusted).to_string()
    }

    fn trusted() -> [IpNet; 2] {
        ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap())
    }

    #[test]
    fn whoever_a_proxy_does_not_name_is_not_believed() {
        let proxy = "10.0.0.1".parse().unwrap();
        assert!(Peer::at(proxy).is_trusted(&trusted()));
        assert!(!Peer::behind(proxy).is_trusted(&trusted()));
        assert_eq!(of(Peer::behind(proxy), &["192.0.2.7"]), "10.0.0.1");
    }

    #[test]
    fn the_client_is_the_last_who_is_no_trusted_proxy() {
        for (peer, headers, expected) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1", "192.0.2.7", "10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            // All of them are trusted: the first knows no better.
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7, garbage, 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // Nobody believes a stranger.
            ("192.0.2.9", &["1.1.1.1"], "192.0.2.9"),
        ] {
            assert_eq!(client(peer, headers), expected, "{peer} {headers:?}");
        }
    }
}

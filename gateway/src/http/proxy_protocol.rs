//! The header that a proxy sends before anything else, to say for whom it connects (PROXY protocol, versions 1 and 2).
//!
//! Exactly the header is read, so that what follows is still there for whoever serves the connection.

use std::{io, net::IpAddr};

use ppp::{v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// As many bytes as both versions have at least.
const BEGIN: usize = 12;
/// What version 2 begins with.
const SIGNATURE: &[u8; BEGIN] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 up to the length of the rest.
const FIXED: usize = 16;
/// Longest header of version 1, as its specification says.
const MAX_TEXT: usize = 107;
/// Longest header of version 2 that is read: addresses, and what proxies say besides of TLS.
const MAX_BINARY: usize = 4_096;

/// There is no header, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the connection does not begin with a header of the PROXY protocol")]
    Missing,
    #[error("the header of the PROXY protocol is too long")]
    TooLong,
    #[error("the header of the PROXY protocol cannot be read")]
    Malformed,
}

/// Takes the header off a stream. `None`: the proxy connects for itself, or does not know for whom.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, HeaderError> {
    let mut header = vec![0; BEGIN];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        binary(stream, header).await
    } else if header.starts_with(b"PROXY ") {
        text(stream, header).await
    } else {
        Err(HeaderError::Missing)
    }
}

async fn binary(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Option<IpAddr>, HeaderError> {
    header.resize(FIXED, 0);
    stream.read_exact(&mut header[BEGIN..]).await?;
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if FIXED + rest > MAX_BINARY {
        return Err(HeaderError::TooLong);
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| HeaderError::Malformed)?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => Some(addresses.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => Some(addresses.source_address.into()),
        _ => None,
    })
}

async fn text(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Option<IpAddr>, HeaderError> {
    let mut ahead = [0; MAX_TEXT - BEGIN];
    while !header.ends_with(b"\n") {
        let room = MAX_TEXT - header.len();
        if room == 0 {
            return Err(HeaderError::TooLong);
        }
        // Looked at first: what is behind the line is not the header's.
        let there = stream.peek(&mut ahead[..room]).await?;
        if there == 0 {
            return Err(HeaderError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let line = ahead[..there].iter().position(|byte| *byte == b'\n');
        let begin = header.len();
        header.resize(begin + line.map_or(there, |end| end + 1), 0);
        stream.read_exact(&mut header[begin..]).await?;
    }
    let header = v1::Header::try_from(header.as_slice()).map_err(|_| HeaderError::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    /// What is read, and what is left, of bytes that come in pieces.
    async fn header(pieces: &[&[u8]]) -> (Result<Option<IpAddr>, HeaderError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        proxy.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let write = async {
            for piece in pieces {
                proxy.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(proxy);
        };
        let (found, ()) = tokio::join!(read(&mut stream), write);
        let mut rest = Vec::new();
        // Nothing more is there after an end that came too soon.
        let _ = stream.read_to_end(&mut rest).await;
        (found, rest)
    }

    fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(length.to_be_bytes());
        header.extend(rest);
        header
    }

    const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0x1f, 0x40];

    #[tokio::test]
    async fn exactly_the_header_is_read() {
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let with_more = [&ADDRESSES[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (bytes, expected) in [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8000\r\n".to_vec(),
                Some(client),
            ),
            (
                b"PROXY TCP6 2001:db8::1 fd00::1 4711 8000\r\n".to_vec(),
                Some("2001:db8::1".parse().unwrap()),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(0x21, 0x11, 12, &ADDRESSES), Some(client)),
            (v2(0x21, 0x11, 18, &with_more), Some(client)),
            // The proxy's own, such as a look whether the gateway is there.
            (v2(0x20, 0x00, 0, b""), None),
        ] {
            let follows = b"GET / HTTP/1.1\r\n";
            let whole = [bytes.as_slice(), follows].concat();
            let (found, rest) = header(&[&whole]).await;
            assert_eq!(
                (found.unwrap(), rest.as_slice()),
                (expected, &follows[..]),
                "{bytes:?}"
            );
            let pieces: Vec<&[u8]> = whole.chunks(5).collect();
            let (found, rest) = header(&pieces).await;
            assert_eq!(
                (found.unwrap(), rest.as_slice()),
                (expected, &follows[..]),
                "{bytes:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        for (bytes, expected) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "does not begin"),
            (b"PROXY TCP4 a b c d\r\n".to_vec(), "cannot be read"),
            (b"PROXY TCP4 192.0.2.7".to_vec(), "end of file"),
            (long.into_bytes(), "too long"),
            (v2(0x21, 0x11, 60_000, b""), "too long"),
            (v2(0x21, 0x11, 12, b"few"), "early eof"),
            (v2(0x31, 0x11, 12, &ADDRESSES), "cannot be read"),
        ] {
            let (found, _) = header(&[&bytes]).await;
            let error = found.unwrap_err().to_string();
            assert!(error.contains(expected), "{bytes:?}: {error}");
        }
    }
}

//! The opening handshake, seen from the server (section 4.2): is this request one for a WebSocket, and what is the answer?

mod extensions;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use sha1::{Digest as _, Sha1};

pub use self::extensions::permessage_deflate;

/// Appended to the client's key before hashing (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Keys are hashed as text, so unused bits in their last character do no harm; other servers let them pass too.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request that may be upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// The offered subprotocols, in the client's order of preference.
    pub protocols: Vec<String>,
}

/// Why a request is not upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Only GET upgrades.
    #[error("a websocket is opened with GET")]
    Method,
    /// HTTP/1.1 alone has this handshake: 1.0 knows no upgrade, 2 and 3 do it otherwise.
    #[error("a websocket is opened with HTTP/1.1")]
    HttpVersion,
    /// Section 4.2.1 item 2 and RFC 9112 section 3.2.
    #[error("request needs exactly one Host header")]
    Host,
    /// The bytes behind the head would be read as frames, or as a body by a proxy in between.
    #[error("a websocket is opened without a body")]
    Body,
    /// No `websocket` token in `Upgrade`.
    #[error("Upgrade header does not name websocket")]
    Upgrade,
    /// No `upgrade` token in `Connection`.
    #[error("Connection header does not name upgrade")]
    Connection,
    /// Not version 13, the only one.
    #[error("Sec-WebSocket-Version is not 13")]
    WebSocketVersion,
    /// No key, several, or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// A subprotocol that is not a token of HTTP.
    #[error("Sec-WebSocket-Protocol is not a list of tokens")]
    Protocol,
}

impl HandshakeError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Host | Self::Body | Self::Upgrade | Self::Connection | Self::Key | Self::Protocol => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// The headers that the answer must have besides its status (section 4.4, RFC 9110 sections 15.5.6 and 15.5.22).
    pub fn headers(&self) -> HeaderMap {
        let headers: &[(HeaderName, &'static str)] = match self {
            Self::Method => &[(ALLOW, "GET")],
            Self::WebSocketVersion => &[
                (SEC_WEBSOCKET_VERSION, "13"),
                (UPGRADE, "websocket"),
                (CONNECTION, "Upgrade"),
            ],
            _ => &[],
        };
        headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    /// A name for metrics, out of a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::HttpVersion => "http_version",
            Self::Host => "host",
            Self::Body => "body",
            Self::Upgrade => "upgrade",
            Self::Connection => "connection",
            Self::WebSocketVersion => "websocket_version",
            Self::Key => "key",
            Self::Protocol => "protocol",
        }
    }
}

/// Judges the head of a request by section 4.2.1.
pub fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<Upgrade, HandshakeError> {
    let require = |holds: bool, error| if holds { Ok(()) } else { Err(error) };
    require(method == Method::GET, HandshakeError::Method)?;
    require(version == Version::HTTP_11, HandshakeError::HttpVersion)?;
    require(only(headers, &HOST).is_some(), HandshakeError::Host)?;
    require(!has_body(headers), HandshakeError::Body)?;
    require(has_token(headers, &UPGRADE, "websocket"), HandshakeError::Upgrade)?;
    require(
        has_token(headers, &CONNECTION, "upgrade"),
        HandshakeError::Connection,
    )?;
    let version = only(headers, &SEC_WEBSOCKET_VERSION);
    require(
        version.is_some_and(|version| version == "13"),
        HandshakeError::WebSocketVersion,
    )?;
    let key = only(headers, &SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok())
        .map(str::trim);
    let key = key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
    let accept = HeaderValue::try_from(accept_key(key)).map_err(|_| HandshakeError::Key)?;
    Ok(Upgrade {
        accept,
        protocols: protocols(headers)?,
    })
}

/// The value of `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (section 4.2.2).
pub fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn is_key(key: &str) -> bool {
    // 16 bytes take 24 characters; the buffer is what the decoder may ask for that many.
    let mut bytes = [0; 18];
    key.len() == 24 && KEY.decode_slice(key, &mut bytes) == Ok(16)
}

fn has_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

/// The value of a header that must be there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The elements of a list of tokens that may span several header lines (RFC 9110 section 5.6.1); `None` stands for an
/// element that is not a token.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
        .map(|item| str::from_utf8(item).ok().filter(|item| is_token(item)))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name)
        .flatten()
        .any(|item| item.eq_ignore_ascii_case(token))
}

fn protocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    list(headers, &SEC_WEBSOCKET_PROTOCOL)
        .map(|item| item.map(str::to_owned).ok_or(HandshakeError::Protocol))
        .collect()
}

/// RFC 9110 section 5.6.2.
fn is_token(item: &str) -> bool {
    item.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

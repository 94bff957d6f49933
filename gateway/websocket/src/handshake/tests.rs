use super::*;

const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The request of section 1.2, with what a browser may write differently.
fn request() -> HeaderMap {
    let lines = [
        (HOST, "server.example.com"),
        (UPGRADE, "WebSocket"),
        (CONNECTION, "keep-alive, Upgrade"),
        (SEC_WEBSOCKET_KEY, SAMPLE_KEY),
        (SEC_WEBSOCKET_VERSION, "13"),
    ];
    lines
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

fn judge(headers: &HeaderMap) -> Result<Upgrade, HandshakeError> {
    check(&Method::GET, Version::HTTP_11, headers)
}

fn with(name: HeaderName, value: &'static str) -> Result<Upgrade, HandshakeError> {
    let mut headers = request();
    headers.insert(name, HeaderValue::from_static(value));
    judge(&headers)
}

fn without(name: HeaderName) -> Result<Upgrade, HandshakeError> {
    let mut headers = request();
    headers.remove(name);
    judge(&headers)
}

fn twice(name: HeaderName) -> Result<Upgrade, HandshakeError> {
    let mut headers = request();
    let value = headers[&name].clone();
    headers.append(name, value);
    judge(&headers)
}

#[test]
fn the_example_of_the_rfc() {
    let upgrade = judge(&request()).expect("a valid request");
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(upgrade.protocols, [""; 0]);
}

#[test]
fn method_and_http_version() {
    let headers = request();
    let wrong_method = check(&Method::POST, Version::HTTP_11, &headers);
    assert_eq!(wrong_method, Err(HandshakeError::Method));
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
        assert_eq!(
            check(&Method::GET, version, &headers),
            Err(HandshakeError::HttpVersion)
        );
    }
}

#[test]
fn host_must_be_there_once() {
    assert_eq!(without(HOST), Err(HandshakeError::Host));
    assert_eq!(twice(HOST), Err(HandshakeError::Host));
}

#[test]
fn no_body_comes_with_it() {
    assert!(with(CONTENT_LENGTH, "0").is_ok());
    assert_eq!(with(CONTENT_LENGTH, "5"), Err(HandshakeError::Body));
    assert_eq!(with(TRANSFER_ENCODING, "chunked"), Err(HandshakeError::Body));
}

#[test]
fn upgrade_and_connection_are_lists_of_tokens() {
    assert_eq!(without(UPGRADE), Err(HandshakeError::Upgrade));
    assert_eq!(with(UPGRADE, "h2c"), Err(HandshakeError::Upgrade));
    assert_eq!(with(UPGRADE, "websockets"), Err(HandshakeError::Upgrade));
    assert!(with(UPGRADE, "h2c , websocket").is_ok());
    assert_eq!(without(CONNECTION), Err(HandshakeError::Connection));
    assert_eq!(with(CONNECTION, "keep-alive"), Err(HandshakeError::Connection));
    let mut headers = request();
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    headers.append(CONNECTION, HeaderValue::from_static("UPGRADE"));
    assert!(judge(&headers).is_ok());
}

#[test]
fn only_version_13() {
    assert_eq!(
        without(SEC_WEBSOCKET_VERSION),
        Err(HandshakeError::WebSocketVersion)
    );
    for version in ["8", "14", "13, 8", ""] {
        assert_eq!(
            with(SEC_WEBSOCKET_VERSION, version),
            Err(HandshakeError::WebSocketVersion)
        );
    }
}

#[test]
fn the_key_is_16_bytes_in_base64() {
    assert_eq!(without(SEC_WEBSOCKET_KEY), Err(HandshakeError::Key));
    assert_eq!(twice(SEC_WEBSOCKET_KEY), Err(HandshakeError::Key));
    let wrong = [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub2!jZQ==",
    ];
    for key in wrong {
        assert_eq!(with(SEC_WEBSOCKET_KEY, key), Err(HandshakeError::Key), "{key}");
    }
    assert!(
        with(SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAB==").is_ok(),
        "unused bits"
    );
}

#[test]
fn offered_subprotocols_keep_their_order() {
    let mut headers = request();
    headers.append(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("centrifuge-protobuf,, chat"),
    );
    headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("superchat"));
    assert_eq!(
        judge(&headers).expect("valid").protocols,
        ["centrifuge-protobuf", "chat", "superchat"]
    );
    assert_eq!(
        with(SEC_WEBSOCKET_PROTOCOL, "two words"),
        Err(HandshakeError::Protocol)
    );
    let mut headers = request();
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_bytes(b"\xff").expect("allowed in a header"),
    );
    assert_eq!(judge(&headers), Err(HandshakeError::Protocol));
}

#[test]
fn answers_carry_what_their_status_asks_for() {
    assert_eq!(HandshakeError::Method.status(), 405);
    assert_eq!(HandshakeError::Method.headers()[ALLOW], "GET");
    assert_eq!(HandshakeError::HttpVersion.status(), 505);
    assert_eq!(HandshakeError::WebSocketVersion.status(), 426);
    assert_eq!(
        HandshakeError::WebSocketVersion.headers()[SEC_WEBSOCKET_VERSION],
        "13"
    );
    assert_eq!(HandshakeError::WebSocketVersion.headers()[UPGRADE], "websocket");
    assert_eq!(HandshakeError::Key.status(), 400);
    assert!(HandshakeError::Key.headers().is_empty());
}

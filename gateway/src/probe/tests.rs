use super::{Address, header};

fn shown(text: &str) -> Result<String, String> {
    text.parse::<Address>()
        .map(|address| address.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn addresses_get_the_default_port_and_path() {
    for (text, whole) in [
        ("ws://chat", "ws://chat:80/connection/websocket"),
        ("ws://chat:8000/", "ws://chat:8000/connection/websocket"),
        ("ws://chat/other?a=b", "ws://chat:80/other?a=b"),
        ("ws://[::1]:8000", "ws://[::1]:8000/connection/websocket"),
    ] {
        assert_eq!(shown(text).as_deref(), Ok(whole));
    }
}

#[test]
fn other_addresses_are_refused_with_the_reason() {
    assert_eq!(
        shown("wss://chat"),
        Err("scheme is not ws: a gateway is probed without TLS".to_owned())
    );
    assert_eq!(
        shown("http://chat"),
        Err("scheme is not ws: a gateway is probed without TLS".to_owned())
    );
    assert_eq!(shown("chat room"), Err("not a URL".to_owned()));
}

#[test]
fn headers_are_read() {
    let (name, value) = header("X-User: probe").unwrap();
    assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-user", "probe"));
    assert!(header("X-User").is_err());
    assert!(header("a b: c").is_err());
    assert!(header("a: b\r\nc: d").is_err());
}

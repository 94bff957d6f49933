use super::*;

/// The answer to an offer in these header lines.
fn answers(lines: &[&str]) -> Option<String> {
    let headers: HeaderMap = lines
        .iter()
        .map(|line| {
            (
                SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            )
        })
        .collect();
    permessage_deflate(&headers).map(|value| value.to_str().unwrap().to_owned())
}

fn is_declined(line: &str) -> bool {
    answers(&[line]).is_none()
}

#[test]
fn the_answer_names_our_window() {
    assert_eq!(
        ANSWER_WITH_WINDOW,
        format!("{ANSWER}; {SERVER_WINDOW}={WINDOW_BITS}")
    );
    assert!(ANSWER.starts_with(NAME));
}

#[test]
fn offers_that_can_be_met_are_accepted() {
    for line in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=\"1\\5\"",
        " ,, permessage-deflate ; client_no_context_takeover\t, x-other",
    ] {
        assert_eq!(answers(&[line]).as_deref(), Some(ANSWER), "{line}");
    }
    for line in [
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits = \"15\"",
    ] {
        assert_eq!(answers(&[line]).as_deref(), Some(ANSWER_WITH_WINDOW), "{line}");
    }
}

#[test]
fn the_first_offer_that_can_be_met_is_taken() {
    let narrow = "permessage-deflate; server_max_window_bits=9";
    let twelve = "permessage-deflate; server_max_window_bits=12";
    let several = format!("x-webkit-deflate-frame, {narrow}, {twelve}, permessage-deflate");
    assert_eq!(answers(&[&several]).as_deref(), Some(ANSWER_WITH_WINDOW));
    assert_eq!(
        answers(&[narrow, "permessage-deflate", twelve]).as_deref(),
        Some(ANSWER)
    );
    let unknown = "x-other; a=\"b,c;d\", permessage-deflate";
    assert_eq!(answers(&[unknown]), None, "a value in quotes must be a token");
    assert_eq!(
        answers(&["x-other; a=\"b\"; c, permessage-deflate"]).as_deref(),
        Some(ANSWER)
    );
}

#[test]
fn offers_that_cannot_be_met_are_declined() {
    for parameters in [
        "server_max_window_bits",
        "server_max_window_bits=11",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=7",
        "server_max_window_bits=015",
        "server_max_window_bits=+15",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits=15; server_max_window_bits=15",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=x",
        "client_max_window_bits; client_max_window_bits=10",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "client_no_context_takeover; client_no_context_takeover",
        "mux",
        "Server_no_context_takeover",
    ] {
        let line = format!("permessage-deflate; {parameters}");
        assert!(is_declined(&line), "{line}");
        let second = format!("{line}, permessage-deflate");
        assert_eq!(answers(&[&second]).as_deref(), Some(ANSWER), "{second}");
    }
    assert!(answers(&[]).is_none());
    for line in [
        "",
        ",",
        "x-webkit-deflate-frame",
        "permessage-deflate-2",
        "deflate",
    ] {
        assert!(is_declined(line), "{line}");
    }
}

#[test]
fn what_follows_a_mistake_in_the_grammar_is_not_looked_at() {
    for line in [
        "permessage-deflate;",
        "permessage-deflate; ;client_max_window_bits",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=\"10",
        "permessage-deflate; client_max_window_bits=\"\"",
        "permessage-deflate; client_max_window_bits=\"1\\",
        "permessage-deflate; client_max_window_bits=\"10\"x",
        "permessage-deflate; =10",
        "=",
        "\u{fffd}",
        "\"permessage-deflate\"",
    ] {
        assert!(is_declined(line), "{line}");
        assert!(is_declined(&format!("{line}, permessage-deflate")), "{line}");
        assert!(answers(&[line, "permessage-deflate"]).is_some(), "another line");
    }
}

/// A head may be long: time must not grow faster than it.
#[test]
fn ten_thousand_offers_are_read_once() {
    let many = "permessage-deflate; mux=1, ".repeat(10_000);
    assert!(is_declined(&many));
    assert!(!is_declined(&format!("{many}permessage-deflate")));
    let quotes = format!("permessage-deflate; a=\"{}", "\\a".repeat(100_000));
    assert!(is_declined(&quotes));
}

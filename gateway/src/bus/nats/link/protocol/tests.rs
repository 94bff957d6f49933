use proptest::prelude::*;

use super::*;

/// All operations of `input`, and what is left at its end.
fn all(mut input: &[u8]) -> Result<(Vec<String>, &[u8]), Malformed> {
    let mut found = Vec::new();
    while let Some((operation, length)) = parse(input)? {
        found.push(format!("{operation:?}"));
        input = &input[length..];
    }
    Ok((found, input))
}

const TALK: &[u8] = b"INFO {\"server_id\":\"A\"}\r\nPING\r\n+OK\r\nMSG a.b 7 5\r\nhello\r\nMSG a.b 7 reply.to 0\r\n\r\n\
    HMSG a 12 21 25\r\nNATS/1.0\r\nName: v\r\n\r\n\r\n\r\n\r\n-ERR 'Stale Connection'\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";

#[test]
fn operations_are_told_apart() {
    let (found, rest) = all(TALK).unwrap();
    assert_eq!((found.len(), rest), (9, &[][..]));
    let parsed = |input| parse(input).unwrap().unwrap().0;
    let Operation::Message(delivery) = parsed(b"HMSG a 12 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n") else {
        panic!("no message");
    };
    assert_eq!((delivery.subject, delivery.sid), (&b"a"[..], 12));
    assert_eq!(
        (delivery.headers, delivery.payload),
        (&b"NATS/1.0\r\n\r\n"[..], &b"hi"[..])
    );
    assert_eq!(
        parsed(b"-ERR 'Stale Connection'\r\n"),
        Operation::Error(b"Stale Connection")
    );
    assert_eq!(parsed(b"INFO {}\r\n"), Operation::Info(b"{}"));
}

#[test]
fn wherever_the_network_splits_it_is_the_same() {
    let whole = all(TALK).unwrap().0;
    for split in 0..=TALK.len() {
        let (mut found, rest) = all(&TALK[..split]).unwrap();
        let rest = [rest, &TALK[split..]].concat();
        found.extend(all(&rest).unwrap().0);
        assert_eq!(found, whole, "split at {split}");
    }
}

#[test]
fn what_no_server_says_has_a_name() {
    let long = vec![b'x'; MAX_LINE];
    for (input, why) in [
        (&long[..], Malformed::LongLine),
        (b"HELLO\r\n", Malformed::Operation),
        (b"\r\n", Malformed::Operation),
        (b"MSG\r\n", Malformed::Message),
        (b"MSG a 1\r\n", Malformed::Message),
        (b"MSG a b 5\r\n", Malformed::Message),
        (b"MSG a 1 -5\r\n", Malformed::Message),
        (b"MSG a 99999999999999999999 5\r\n", Malformed::Message),
        (b"HMSG a 1 5\r\n", Malformed::Message),
        (b"HMSG a 1 6 5\r\n", Malformed::Message),
        (b"MSG a 1 67108865\r\n", Malformed::LargeMessage),
        (b"MSG a 1 2\r\nabcd", Malformed::End),
    ] {
        assert_eq!(parse(input), Err(why), "{}", input.escape_ascii());
    }
}

fn message() -> impl Strategy<Value = (String, u64, Option<String>, Vec<u8>, Vec<u8>)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let word = "[!-~]{1,20}";
    (word, any::<u64>(), proptest::option::of(word), bytes(), bytes())
}

proptest! {
    /// Whatever is in subjects, headers and payloads comes out as it went in, split anywhere.
    #[test]
    fn messages_survive(messages in proptest::collection::vec(message(), 1..5), split in any::<prop::sample::Index>()) {
        let mut wire = Vec::new();
        for (subject, sid, reply, headers, payload) in &messages {
            let reply = reply.as_ref().map(|reply| format!("{reply} ")).unwrap_or_default();
            let total = headers.len() + payload.len();
            wire.extend(format!("HMSG {subject} {sid} {reply}{} {total}\r\n", headers.len()).bytes());
            wire.extend(headers.iter().chain(payload));
            wire.extend(b"\r\n");
        }
        let mut input = &wire[..];
        for (subject, sid, _, headers, payload) in &messages {
            let (operation, length) = parse(input).unwrap().unwrap();
            let expected = Delivery { subject: subject.as_bytes(), sid: *sid, headers, payload };
            prop_assert_eq!(operation, Operation::Message(expected));
            input = &input[length..];
        }
        prop_assert!(input.is_empty());
        let split = split.index(wire.len());
        prop_assert!(all(&wire[..split]).unwrap().0.len() <= messages.len());
    }

    /// Junk is an error or waits for more; it never does anything else, and what was read is never longer than the input.
    #[test]
    fn junk_is_refused(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some((_, length))) = parse(&input) {
            prop_assert!(length <= input.len());
        }
    }

    /// The same for what looks like an operation.
    #[test]
    fn almost_operations_too(input in "(MSG|HMSG|INFO|PING|-ERR)[ a0-9]{0,24}(\r\n)?[ -~\r\n]{0,40}") {
        if let Ok(Some((_, length))) = parse(input.as_bytes()) {
            prop_assert!(length <= input.len());
        }
    }
}

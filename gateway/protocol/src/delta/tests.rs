use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// Undoes a delta as the format is described, and refuses whatever is not exactly so.
fn decode(origin: &[u8], mut delta: &[u8]) -> Option<Vec<u8>> {
    let len = take_number(&mut delta)?;
    take(&mut delta, b'\n')?;
    let mut target = Vec::new();
    loop {
        let number = take_number(&mut delta)?;
        match *delta.split_off_first()? {
            b'@' => {
                let offset = take_number(&mut delta)?;
                take(&mut delta, b',')?;
                target.extend_from_slice(origin.get(offset..offset.checked_add(number)?)?);
            }
            b':' => target.extend_from_slice(delta.split_off(..number)?),
            b';' => {
                let is_whole = delta.is_empty() && target.len() == len && sum(&target) as usize == number;
                return is_whole.then_some(target);
            }
            _ => return None,
        }
    }
}

fn take(delta: &mut &[u8], sign: u8) -> Option<()> {
    (*delta.split_off_first()? == sign).then_some(())
}

fn take_number(delta: &mut &[u8]) -> Option<usize> {
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte);
    let len = delta.iter().take_while(|byte| digit(byte).is_some()).count();
    let digits = delta.split_off(..len).filter(|digits| !digits.is_empty())?;
    Some(
        digits
            .iter()
            .filter_map(digit)
            .fold(0, |number, digit| number * 64 + digit),
    )
}

/// The checksum byte by byte.
fn sum(target: &[u8]) -> u32 {
    let place = |(at, byte): (usize, &u8)| u32::from(*byte) << (24 - 8 * (at % 4));
    target.iter().enumerate().map(place).fold(0, u32::wrapping_add)
}

/// The delta, once it is known to lead to the target.
fn delta(origin: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Vec<u8> {
    let (origin, target) = (origin.as_ref(), target.as_ref());
    let delta = encode(origin, target);
    assert_eq!(
        decode(origin, &delta).as_deref(),
        Some(target),
        "{}",
        delta.escape_ascii()
    );
    assert!(
        delta.len() <= target.len() + 21,
        "{} {}",
        delta.len(),
        target.len()
    );
    delta
}

fn text(origin: &str, target: &str) -> String {
    String::from_utf8(delta(origin, target)).unwrap()
}

#[test]
fn numbers_are_written_to_base_64() {
    for (number, expected) in [
        (0, "0"),
        (9, "9"),
        (10, "A"),
        (36, "_"),
        (37, "a"),
        (63, "~"),
        (64, "10"),
        (4095, "~~"),
        (4096, "100"),
        (u32::MAX as usize, "3~~~~~"),
    ] {
        let mut out = Vec::new();
        put_number(&mut out, number);
        assert_eq!(
            (out.as_slice(), digits(number)),
            (expected.as_bytes(), expected.len())
        );
    }
}

#[test]
fn empty_equal_and_unrelated_texts() {
    let long = "the quick brown fox jumps over the lazy dog";
    assert_eq!(text("", ""), "0\n0;");
    assert_eq!(text(long, ""), "0\n0;");
    assert_eq!(text("", "abcd"), "4\n4:abcd1XObD_;");
    assert_eq!(text("abc", "abcd"), "4\n4:abcd1XObD_;");
    assert!(text(long, long).starts_with("g\ng@0,"));
    assert!(text("0123456789".repeat(4).as_str(), long).contains(long));
}

#[test]
fn what_stands_in_front_and_at_the_end_is_copied() {
    let origin = r#"{"user":"anna","price":100.25,"currency":"EUR","at":"frankfurt"}"#;
    let target = r#"{"user":"anna","price":99.5,"currency":"EUR","at":"frankfurt"}"#;
    let delta = text(origin, target);
    assert!(delta.starts_with("z\nN@0,3:99._@S,"), "{delta}");
    assert!(delta.len() < 30, "{delta}");
}

#[test]
fn what_moved_is_found() {
    let (first, second) = ("a sentence that comes first. ", "another, which comes after it. ");
    let delta = text(&format!("{first}{second}"), &format!("{second}new{first}"));
    assert_eq!(delta.matches('@').count(), 2, "{delta}");
    assert!(delta.contains("3:new"), "{delta}");
}

/// `é` is c3 a9 and `è` is c3 a8, `©` is c2 a9: one byte in common with `é`, in front or at the end.
#[test]
fn pieces_hold_whole_characters() {
    let frame = |middle: &str| format!("the same in front {middle} the same at the end");
    for (before, after) in [
        ("é", "è"),
        ("é", "©"),
        ("日本", "日木"),
        ("😀", "😁"),
        ("", "é"),
        ("ééé", "é"),
    ] {
        let delta = text(&frame(before), &frame(after));
        assert!(delta.contains('@'), "{delta}");
        let unspaced = text(&frame(before).replace(' ', ""), &frame(after).replace(' ', ""));
        assert!(unspaced.contains('@'), "{unspaced}");
    }
}

/// A state of many players, of which one moved: what deltas are for.
fn players(moved: usize, x: u32) -> String {
    let mut state = String::from("{\"players\":[");
    for id in 0..100 {
        let x = if id == moved { x } else { 17 };
        write!(
            state,
            "{{\"id\":{id},\"name\":\"player {id}\",\"x\":{x},\"y\":{}}},",
            id * 7
        )
        .unwrap();
    }
    state + "{}]}"
}

#[test]
fn a_delta_of_a_state_is_small() {
    let before = players(0, 17);
    for moved in [0, 50, 99] {
        let delta = text(&before, &players(moved, 18));
        assert!(delta.len() < 40, "{} of {}: {delta}", delta.len(), before.len());
    }
    let two = players(20, 18).replace("\"y\":560", "\"y\":561");
    let delta = text(&before, &two);
    assert!(delta.len() < 60, "{delta}");
}

#[test]
fn a_delta_of_chat_messages_is_smaller() {
    let message = |id: u32, user: &str, text: &str| {
        format!(
            "{{\"id\":\"msg-{id}\",\"room\":\"general\",\"user\":{{\"id\":\"{user}\",\"avatar\":\
             \"https://cdn.example.com/avatars/{user}.png\"}},\"text\":\"{text}\",\"sent_at\":1763784{id},\
             \"reactions\":[],\"edited\":false}}"
        )
    };
    let before = message(100, "anna", "does anybody know when the deploy starts?");
    let after = message(101, "boris", "in ten minutes, as soon as the tests are through");
    let delta = text(&before, &after);
    assert!(
        delta.len() * 10 < after.len() * 8,
        "{} of {}: {delta}",
        delta.len(),
        after.len()
    );
}

/// Each would take hours if the time grew with the square of the length.
#[test]
fn no_input_is_slow() {
    const LEN: usize = 1 << 20;
    let repeated = |pattern: &[u8]| pattern.iter().copied().cycle().take(LEN).collect::<Vec<_>>();
    let same = repeated(b"a");
    let almost = repeated(b"aaaaaaaaaaab");
    let inside = [b"x", same.as_slice(), b"y"].concat();
    let continuation = repeated(&[0x80]);
    let halves = [&same[..LEN / 2], &continuation[..LEN / 2]].concat();
    let inputs = [&same, &almost, &inside, &continuation, &halves];
    for origin in inputs {
        for target in inputs {
            delta(origin, target);
        }
    }
}

/// A target made of the origin: pieces of it, and what is new.
fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let origin = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        prop::collection::vec(prop::sample::select(b"ab{\":,".to_vec()), 0..600),
    ];
    let pieces = prop::collection::vec(
        (
            any::<[prop::sample::Index; 2]>(),
            prop::collection::vec(any::<u8>(), 0..20),
        ),
        0..8,
    );
    (origin, pieces).prop_map(|(origin, pieces)| {
        let mut target = Vec::new();
        for (ends, new) in pieces {
            let mut ends = ends.map(|end| end.index(origin.len() + 1));
            ends.sort_unstable();
            target.extend_from_slice(&origin[ends[0]..ends[1]]);
            target.extend(new);
        }
        (origin, target)
    })
}

proptest! {
    #[test]
    fn any_bytes_come_back(origin: Vec<u8>, target: Vec<u8>) {
        delta(origin, target);
    }

    #[test]
    fn edited_bytes_come_back((origin, target) in edited()) {
        delta(&origin, target);
    }

    #[test]
    fn a_delta_of_texts_is_text(words in prop::collection::vec("[a-c日本éèλ😀😁]{1,12}", 1..12), picks: Vec<u8>, new: String) {
        let origin = words.concat();
        let pick = |pick: &u8| words[usize::from(*pick) % words.len()].as_str();
        let target = picks.iter().map(pick).collect::<String>() + &new;
        text(&origin, &target);
    }
}

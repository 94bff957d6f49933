//! What is in every message: when it was due, its number in its room, and text up to its size.
//!
//! The text is prose, another piece of it in every message: one character over and over would be compressed to nothing.

use std::{fmt::Write as _, sync::LazyLock};

use memchr::memmem::Finder;

/// What the time stands behind; no protocol has a field of this name.
const MARK: &str = r#"{"due":""#;
const BETWEEN: &str = r#"","number":""#;
const TEXT: &str = r#"","text":""#;
const END: &str = r#""}"#;
const DUE_DIGITS: usize = 16;
const NUMBER_DIGITS: usize = 8;
const BEHIND_MARK: usize = DUE_DIGITS + BETWEEN.len() + NUMBER_DIGITS;

/// The smallest message in bytes.
pub const MIN_SIZE: usize = MARK.len() + BEHIND_MARK + TEXT.len() + END.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the schedule wanted the message to be sent, in nanoseconds of the run's clock.
    pub due: u64,
    /// From 0 in each room.
    pub number: u32,
}

impl Stamp {
    /// A JSON object of `size` bytes, at least [`MIN_SIZE`].
    pub fn message(self, size: usize) -> String {
        let Self { due, number } = self;
        let mut message = String::with_capacity(size.max(MIN_SIZE));
        // Writing to a string does not fail.
        let _ = write!(message, "{MARK}{due:016x}{BETWEEN}{number:08x}{TEXT}");
        let mut place = number as usize * STRIDE % PROSE.len();
        while message.len() + END.len() < size {
            let part = (size - END.len() - message.len()).min(PROSE.len() - place);
            message.push_str(&PROSE[place..place + part]);
            place = 0;
        }
        message.push_str(END);
        message
    }
}

/// From the beginning of one message's text to that of the next; prime, so that every place gets its turn.
const STRIDE: usize = 4_099;
/// English text that will not change: the words of the licence, without what JSON escapes.
static PROSE: LazyLock<String> = LazyLock::new(|| {
    let words = include_str!("../../LICENSE").split_ascii_whitespace();
    let words: Vec<_> = words
        .filter(|word| word.is_ascii() && !word.contains(['"', '\\']))
        .collect();
    words.join(" ")
});

/// Finds stamps. Deliveries of one server look alike, so the place of the last one is tried before a search.
#[derive(Debug)]
pub struct StampFinder {
    place: usize,
    mark: Finder<'static>,
}

impl Default for StampFinder {
    fn default() -> Self {
        Self {
            place: 0,
            mark: Finder::new(MARK),
        }
    }
}

impl StampFinder {
    pub fn find(&mut self, text: &[u8]) -> Option<Stamp> {
        let is_here = |text: &[u8]| text.starts_with(MARK.as_bytes());
        if !text.get(self.place..).is_some_and(is_here) {
            self.place = self.mark.find(text)?;
        }
        let digits = text.get(self.place + MARK.len()..)?;
        Some(Stamp {
            due: hexadecimal(digits.get(..DUE_DIGITS)?)?,
            number: u32::try_from(hexadecimal(
                digits.get(BEHIND_MARK - NUMBER_DIGITS..BEHIND_MARK)?,
            )?)
            .ok()?,
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_wherever_it_stands() {
        let mut finder = StampFinder::default();
        let stamp = Stamp {
            due: 0xdead_beef_0123,
            number: 77,
        };
        let message = stamp.message(200);
        assert_eq!(message.len(), 200);
        serde_json::from_str::<serde_json::Value>(&message).unwrap();
        for front in ["", r#"{"push":{"channel":"a","pub":{"data":"#, "{}\n"] {
            let text = format!("{front}{message}}}}}");
            assert_eq!(finder.find(text.as_bytes()), Some(stamp));
        }
        assert_eq!(finder.find(b"{}"), None);
        assert_eq!(finder.find(&message.as_bytes()[..30]), None);
        assert_eq!(stamp.message(0).len(), MIN_SIZE);
        assert_eq!(stamp.message(50_000).len(), 50_000);
    }
}

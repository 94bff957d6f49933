//! Regular expressions of tokens and of the configuration: compiled once for all who use the same one.
//!
//! A table of bounded size has them, and is emptied when it is full. Those of tokens are many, so a capability keeps what it was
//! read as, and looks nothing up when it is asked. Matching takes time in proportion to the text; what a pattern may become is bounded.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern in bytes: a room's name, and as much again for what is written around it.
const MAX_LENGTH: usize = 512;
/// Bytes that a compiled pattern may take, and what matching remembers.
const MAX_SIZE: usize = 32 * 1024;
const MAX_CACHE: usize = 256 * 1024;
const MAX_PATTERNS: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<String, Option<Arc<Regex>>>>> = LazyLock::new(Mutex::default);

/// A pattern that is asked often.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Regex>);

impl Pattern {
    /// `None`: it is no good.
    pub(super) fn read(pattern: &str) -> Option<Self> {
        compiled(pattern).map(Self)
    }

    /// Whether it is found in the text.
    pub(super) fn is_found(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// Whether it is a pattern that is taken.
pub(super) fn is_good(pattern: &str) -> bool {
    compiled(pattern).is_some()
}

/// Whether it is found in the text; one that is no good is found nowhere.
pub(super) fn is_found(pattern: &str, text: &str) -> bool {
    compiled(pattern).is_some_and(|regex| regex.is_match(text.as_bytes()))
}

fn compiled(pattern: &str) -> Option<Arc<Regex>> {
    if pattern.len() > MAX_LENGTH {
        return None;
    }
    if let Some(known) = COMPILED.lock().get(pattern) {
        return known.clone();
    }
    // Names of rooms are ASCII: the classes of Unicode would make a pattern large for nothing.
    let regex = RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_CACHE)
        .build();
    let regex = regex.ok().map(Arc::new);
    let mut compiled = COMPILED.lock();
    if compiled.len() >= MAX_PATTERNS {
        compiled.clear();
    }
    compiled.insert(pattern.to_owned(), regex.clone());
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_anywhere_unless_they_say_where() {
        for (pattern, text, found) in [
            ("posts", "my posts", true),
            (r"^posts_[\d]+$", "posts_42", true),
            (r"^posts_[\d]+$", "posts_42x", false),
            ("^(a|b)$", "b", true),
            ("(", "(", false),
            ("(?:x{1000}){1000}", "x", false),
        ] {
            assert_eq!(is_found(pattern, text), found, "{pattern} {text}");
        }
        assert!(!is_good(&"x".repeat(MAX_LENGTH + 1)));
    }

    #[test]
    fn what_was_read_is_kept_by_whoever_has_read_it() {
        let pattern = Pattern::read("^kept$").unwrap();
        for index in 0..2 * MAX_PATTERNS {
            assert!(is_good(&format!("^other{index}$")));
        }
        assert!(pattern.is_found("kept") && !pattern.is_found("other"));
    }

    #[test]
    fn the_table_is_bounded() {
        for index in 0..2 * MAX_PATTERNS {
            assert!(is_good(&format!("^room{index}$")));
        }
        assert!(COMPILED.lock().len() <= MAX_PATTERNS);
    }
}

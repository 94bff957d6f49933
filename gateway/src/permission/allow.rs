//! The operations that a capability opens, in the words of tokens.

use serde::{Deserialize, Deserializer};

use super::Operation;

/// Set when there was a word that means nothing here.
const UNKNOWN: u8 = 1 << 7;

/// Some of the operations, written as a list of words; one that is not known opens nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow(u8);

impl Operation {
    /// As `allow` of a token names it.
    const fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "sub",
            Self::Publish => "pub",
            Self::Presence => "prs",
            Self::History => "hst",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Allow {
    pub const NOTHING: Self = Self(0);

    pub fn includes(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// Whether it was written with a word that is not known.
    pub fn has_unknown(self) -> bool {
        self.0 & UNKNOWN != 0
    }
}

impl<S: AsRef<str>> FromIterator<S> for Allow {
    fn from_iter<I: IntoIterator<Item = S>>(words: I) -> Self {
        let bit = |word: S| {
            let known = Operation::ALL
                .into_iter()
                .find(|known| known.word() == word.as_ref());
            known.map_or(UNKNOWN, Operation::bit)
        };
        Self(words.into_iter().map(bit).fold(0, |all, bit| all | bit))
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<String>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_opens_one_operation_and_an_unknown_one_none() {
        for operation in Operation::ALL {
            let allow = Allow::from_iter([operation.word()]);
            for other in Operation::ALL {
                assert_eq!(
                    allow.includes(other),
                    other == operation,
                    "{operation:?} {other:?}"
                );
            }
            assert!(!allow.has_unknown());
        }
        for words in [vec!["publish"], vec!["*"], vec![""], vec!["PUB"]] {
            let allow: Allow = words.iter().collect();
            assert!(allow.has_unknown(), "{words:?}");
            let opens = |operation: &Operation| allow.includes(*operation);
            assert!(!Operation::ALL.iter().any(opens), "{words:?}");
        }
        assert!(Allow::from_iter(["pub", "all"]).includes(Operation::Publish));
    }

    #[test]
    fn it_is_read_from_a_list() {
        let allow: Allow = serde_json::from_str(r#"["hst", "pub"]"#).unwrap();
        assert_eq!(allow, Allow::from_iter(["pub", "hst"]));
        assert!(serde_json::from_str::<Allow>(r#""pub""#).is_err());
    }
}

//! The operations that a capability opens, in the words of tokens.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

use super::Operation;

/// Set when there was a word that means nothing here.
const UNKNOWN: u8 = 1 << 7;

/// Some of the operations. Travels between gateways, and stands in tokens, as a list of words; one that is not known opens
/// nothing.
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

    /// Whether it opens nothing.
    pub fn is_empty(&self) -> bool {
        self.0 & !UNKNOWN == 0
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

impl Serialize for Allow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut words = serializer.serialize_seq(None)?;
        for operation in Operation::ALL {
            if self.includes(operation) {
                words.serialize_element(operation.word())?;
            }
        }
        words.end()
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
            assert!(!allow.is_empty() && !allow.has_unknown());
        }
        for words in [vec!["publish"], vec!["*"], vec![""], vec!["PUB"]] {
            let allow: Allow = words.iter().collect();
            assert!(allow.is_empty() && allow.has_unknown(), "{words:?}");
        }
        assert!(Allow::from_iter(["pub", "all"]).includes(Operation::Publish));
    }

    #[test]
    fn it_travels_as_words() {
        let allow = Allow::from_iter(["hst", "pub"]);
        let text = serde_json::to_string(&allow).unwrap();
        assert_eq!(text, r#"["pub","hst"]"#);
        assert_eq!(serde_json::from_str::<Allow>(&text).unwrap(), allow);
        assert!(serde_json::from_str::<Allow>(r#""pub""#).is_err());
    }
}

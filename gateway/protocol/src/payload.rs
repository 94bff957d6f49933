//! Application data, carried as the text it arrived in.
//!
//! A payload is never parsed into a tree and printed again: numbers beyond 64 bits, the order of keys, a lone
//! surrogate escape and any depth of nesting reach the reader as they were written.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON text whose syntax has been checked, borrowed from where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a>(&'a str);

impl<'a> Payload<'a> {
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The same JSON text on one line, as it must be before it goes into a frame: replies are separated by
    /// newlines there, and clients split on them. In a valid JSON text raw newlines and carriage returns stand
    /// only between tokens (in strings they are escaped), so leaving them out changes no value.
    pub fn single_line(self) -> Cow<'a, str> {
        if memchr::memchr2(b'\n', b'\r', self.0.as_bytes()).is_none() {
            return Cow::Borrowed(self.0);
        }
        Cow::Owned(self.0.split(['\n', '\r']).collect())
    }
}

impl<'a> From<&'a RawValue> for Payload<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: &str) -> Payload<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_text_on_one_line_is_borrowed_untouched() {
        let text = r#"{"b": 1e400, "a":"\n\ud83d"}"#;
        assert!(matches!(payload(text).single_line(), Cow::Borrowed(line) if line == text));
    }

    #[test]
    fn newlines_between_tokens_go_and_escaped_ones_stay() {
        let text = "{\r\n  \"a\": [1,\n2],\r\"b\": \"x\\ny\"\n}";
        assert_eq!(payload(text).single_line(), r#"{  "a": [1,2],"b": "x\ny"}"#);
    }

    #[test]
    fn a_raw_newline_in_a_string_is_no_payload() {
        assert!(serde_json::from_str::<Payload<'_>>("\"a\nb\"").is_err());
    }
}

//! Application data, carried as it arrived.
//!
//! A payload is never parsed into a tree and printed again: numbers beyond 64 bits, the order of keys, a lone
//! surrogate escape and any depth of nesting reach the reader as they were written.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a client or a backend sent, borrowed from where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A JSON text whose syntax has been checked.
    Json(&'a str),
    /// Not looked into: what a Protobuf client sent.
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// As it arrived; of JSON the text.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The JSON text on one line, as [`single_line`] has it. `None` when the bytes are no JSON text: their syntax and UTF-8
    /// are checked here.
    pub fn json_line(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(text) => Some(single_line(text)),
            Self::Bytes(bytes) => serde_json::from_slice::<&RawValue>(bytes)
                .ok()
                .map(|raw| single_line(raw.get())),
        }
    }
}

/// The same JSON text on one line, as it must be before it goes into a frame: replies are separated by newlines there,
/// and clients split on them. In a valid JSON text raw newlines and carriage returns stand only between tokens (in
/// strings they are escaped), so leaving them out changes no value.
pub fn single_line(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(['\n', '\r']).collect())
}

impl<'a> From<&'a RawValue> for Payload<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self::Json(raw.get())
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
        for payload in [payload(text), Payload::Bytes(text.as_bytes())] {
            assert!(matches!(payload.json_line(), Some(Cow::Borrowed(line)) if line == text));
            assert_eq!(payload.bytes(), text.as_bytes());
        }
    }

    #[test]
    fn newlines_between_tokens_go_and_escaped_ones_stay() {
        let text = "{\r\n  \"a\": [1,\n2],\r\"b\": \"x\\ny\"\n}";
        for payload in [payload(text), Payload::Bytes(text.as_bytes())] {
            assert_eq!(payload.json_line().unwrap(), r#"{  "a": [1,2],"b": "x\ny"}"#);
            assert_eq!(payload.bytes(), text.as_bytes());
        }
    }

    #[test]
    fn a_raw_newline_in_a_string_is_no_payload() {
        assert!(serde_json::from_str::<Payload<'_>>("\"a\nb\"").is_err());
    }

    #[test]
    fn bytes_that_are_no_json_text_have_no_line() {
        let deep = "[".repeat(100_000);
        let rows: [&[u8]; 9] = [
            b"",
            b" ",
            b"nul",
            b"{} {}",
            b"\"a\nb\"",
            b"\x00",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            deep.as_bytes(),
        ];
        for bytes in rows {
            assert_eq!(Payload::Bytes(bytes).json_line(), None, "{bytes:?}");
            assert_eq!(Payload::Bytes(bytes).bytes(), bytes);
        }
    }

    #[test]
    fn blanks_around_a_text_are_no_part_of_it() {
        assert_eq!(Payload::Bytes(b"\n {} \r\n").json_line().unwrap(), "{}");
    }
}

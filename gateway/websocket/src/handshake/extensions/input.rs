//! The grammar of a header that lists names with parameters (RFC 6455 section 9.1).

use std::borrow::Cow;

use super::super::is_token_byte;

/// The line does not keep to the grammar.
pub(super) struct Malformed;

/// What is left to read of one header line.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// Goes on to the next element of the list, over empty ones; false at the end of the line.
    pub(super) fn skip_to_element(&mut self) -> bool {
        while let [b',' | b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        !self.0.is_empty()
    }

    /// A comma or the end of the line must follow.
    pub(super) fn end_element(&mut self) -> Result<(), Malformed> {
        self.skip_spaces();
        match self.0 {
            [] | [b',', ..] => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// Takes this byte, if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A token of at least one character.
    pub(super) fn token(&mut self) -> Result<&'a str, Malformed> {
        self.skip_spaces();
        let end = self.0.iter().position(|byte| !is_token_byte(*byte));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        match str::from_utf8(token) {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => Err(Malformed),
        }
    }

    /// A token, plain or in quotes.
    pub(super) fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if !self.eat(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        loop {
            let byte = match self.byte()? {
                b'"' if value.is_empty() => return Err(Malformed),
                b'"' => return Ok(Cow::Owned(value)),
                b'\\' => self.byte()?,
                byte => byte,
            };
            if !is_token_byte(byte) {
                return Err(Malformed);
            }
            value.push(char::from(byte));
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }
}

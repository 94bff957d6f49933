//! Writes a message straight into a buffer. The length before it is known only afterwards: there is room for a short
//! one, and what is longer than that moves up.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::texts;
use crate::encode::{self, Fields, Key};

/// A message being written.
pub(super) struct Message<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Message<'b> {
    /// Appends the whole message behind its length, its fields by `fields`.
    pub(super) fn write(out: &'b mut Vec<u8>, fields: impl FnOnce(&mut Self)) {
        Message { out }.nested(fields);
    }

    /// Appends the fields alone, as [`Fields::encoded`] takes them.
    pub(super) fn write_fields(out: &'b mut Vec<u8>, fields: impl FnOnce(&mut Self)) {
        fields(&mut Message { out });
    }

    fn nested(&mut self, fields: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.out.push(0);
        fields(self);
        let length = self.out.len() - start - 1;
        let width = encoded_len_varint(length as u64);
        if width > 1 {
            self.out.resize(start + width + length, 0);
            self.out.copy_within(start + 1..start + 1 + length, start + width);
        }
        encode_varint(length as u64, &mut &mut self.out[start..start + width]);
    }

    fn varint(&mut self, (_, number): Key, value: u64) {
        encode_key(number, WireType::Varint, self.out);
        encode_varint(value, self.out);
    }

    fn bytes(&mut self, number: u32, value: &[u8]) {
        encode_key(number, WireType::LengthDelimited, self.out);
        encode_varint(value.len() as u64, self.out);
        self.out.extend_from_slice(value);
    }
}

impl Fields for Message<'_> {
    fn text(&mut self, key: Key, value: &str) {
        self.data(key, value.as_bytes());
    }

    fn number(&mut self, key: Key, value: u64) {
        if value != 0 {
            self.varint(key, value);
        }
    }

    fn signed(&mut self, key: Key, value: i64) {
        self.number(key, value.cast_unsigned());
    }

    fn flag(&mut self, key: Key, value: bool) {
        self.number(key, value.into());
    }

    fn data(&mut self, (_, number): Key, value: &[u8]) {
        if !value.is_empty() {
            self.bytes(number, value);
        }
    }

    fn info(&mut self, key: Key, value: Option<&str>) {
        if let Some(info) = value.and_then(texts::info) {
            self.message(key, |message| encode::client_info(message, &info.as_protocol()));
        }
    }

    fn tags(&mut self, key: Key, value: Option<&str>) {
        for (name, value) in value.and_then(texts::tags).unwrap_or_default() {
            self.message(key, |entry| {
                entry.bytes(1, name.as_bytes());
                entry.bytes(2, value.as_bytes());
            });
        }
    }

    fn message(&mut self, (_, number): Key, fields: impl FnOnce(&mut Self)) {
        encode_key(number, WireType::LengthDelimited, self.out);
        self.nested(fields);
    }

    fn array<V>(&mut self, key: Key, items: &[V], fields: impl Fn(&mut Self, &V)) {
        for item in items {
            self.message(key, |message| fields(message, item));
        }
    }

    /// An entry a message, whose fields are there also when they are empty: not every reader knows what they would be.
    fn map<V>(&mut self, key: Key, items: &[V], name: impl Fn(&V) -> &str, fields: impl Fn(&mut Self, &V)) {
        for item in items {
            self.message(key, |entry| {
                entry.bytes(1, name(item).as_bytes());
                entry.message(("value", 2), |message| fields(message, item));
            });
        }
    }
    fn encoded(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }
}

//! Writes a JSON object straight into a buffer. Written by hand because serde cannot pass a raw text through
//! without parsing it first, and because an encoded push is the hot end of every publication.

use serde::Serialize;

use crate::encode::{Fields, Key};

/// An object being written.
pub(super) struct Object<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl<'b> Object<'b> {
    /// Appends the whole object, its fields by `fields`.
    pub(super) fn write(out: &'b mut Vec<u8>, fields: impl FnOnce(&mut Self)) {
        Object { out, empty: true }.nested(fields);
    }

    /// Appends the fields alone, as [`Fields::encoded`] takes them.
    pub(super) fn write_fields(out: &'b mut Vec<u8>, fields: impl FnOnce(&mut Self)) {
        fields(&mut Object { out, empty: true });
    }

    fn nested(&mut self, fields: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        self.empty = true;
        fields(self);
        self.out.push(b'}');
        self.empty = false;
    }

    /// Starts a field; what is written to the buffer next is its value.
    fn key(&mut self, (name, _): Key) -> &mut Vec<u8> {
        self.out
            .extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }
}

impl Fields for Object<'_> {
    fn text(&mut self, key: Key, value: &str) {
        if !value.is_empty() {
            self.text_always(key, value);
        }
    }

    fn number(&mut self, key: Key, value: u64) {
        if value != 0 {
            self.number_always(key, value);
        }
    }

    fn signed(&mut self, key: Key, value: i64) {
        if value != 0 {
            put(self.key(key), &value);
        }
    }

    fn flag(&mut self, key: Key, value: bool) {
        if value {
            self.key(key).extend_from_slice(b"true");
        }
    }

    /// A newline in the text would end the reply early for every reader.
    fn data(&mut self, key: Key, value: &[u8]) {
        if !value.is_empty() {
            debug_assert!(memchr::memchr(b'\n', value).is_none(), "a payload spans lines");
            self.key(key).extend_from_slice(value);
        }
    }

    fn info(&mut self, key: Key, value: Option<&str>) {
        self.data(key, value.unwrap_or_default().as_bytes());
    }

    fn tags(&mut self, key: Key, value: Option<&str>) {
        self.data(key, value.unwrap_or_default().as_bytes());
    }

    fn message(&mut self, key: Key, fields: impl FnOnce(&mut Self)) {
        self.key(key);
        self.nested(fields);
    }

    fn array<V>(&mut self, key: Key, items: &[V], fields: impl Fn(&mut Self, &V)) {
        if !items.is_empty() {
            self.array_always(key, items, fields);
        }
    }

    fn map<V>(&mut self, key: Key, items: &[V], name: impl Fn(&V) -> &str, fields: impl Fn(&mut Self, &V)) {
        if !items.is_empty() {
            self.map_always(key, items, name, fields);
        }
    }

    fn encoded(&mut self, fields: &[u8]) {
        if fields.is_empty() {
            return;
        }
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.extend_from_slice(fields);
    }

    fn text_always(&mut self, key: Key, value: &str) {
        put(self.key(key), value);
    }

    fn number_always(&mut self, key: Key, value: u64) {
        put(self.key(key), &value);
    }

    fn array_always<V>(&mut self, key: Key, items: &[V], fields: impl Fn(&mut Self, &V)) {
        self.key(key).push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.nested(|object| fields(object, item));
        }
        self.out.push(b']');
    }

    fn map_always<V>(
        &mut self,
        key: Key,
        items: &[V],
        name: impl Fn(&V) -> &str,
        fields: impl Fn(&mut Self, &V),
    ) {
        self.key(key).push(b'{');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            put(self.out, name(item));
            self.out.push(b':');
            self.nested(|object| fields(object, item));
        }
        self.out.push(b'}');
    }
}

#[expect(
    clippy::expect_used,
    reason = "strings and integers always serialise, and a vector takes every write"
)]
fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a scalar is written into a vector");
}

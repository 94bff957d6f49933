//! Writes a JSON object straight into a buffer. Written by hand because serde cannot pass a raw text through
//! without parsing it first, and because an encoded push is the hot end of every publication.

use serde::Serialize;

/// An object being written; zero values are left out, as the protocol wants it.
pub(super) struct Object<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl<'b> Object<'b> {
    /// Writes the whole object, its fields by `fields`.
    pub(super) fn write(out: &'b mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        let mut object = Object { out, empty: true };
        fields(&mut object);
        object.out.push(b'}');
    }

    /// Starts a field; what is written to the buffer next is its value. `name` needs no escapes.
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out
            .extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text_always(name, value);
        }
    }

    pub(super) fn text_always(&mut self, name: &str, value: &str) {
        put(self.key(name), value);
    }

    pub(super) fn number<T: Serialize + Default + PartialEq + Copy>(&mut self, name: &str, value: T) {
        if value != T::default() {
            put(self.key(name), &value);
        }
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.key(name).extend_from_slice(b"true");
        }
    }

    /// A JSON text as it is. A newline in it would end the reply early for every reader.
    pub(super) fn raw(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            debug_assert!(
                memchr::memchr(b'\n', value.as_bytes()).is_none(),
                "a payload spans lines"
            );
            self.key(name).extend_from_slice(value.as_bytes());
        }
    }

    /// An object, there even when it is empty.
    pub(super) fn object(&mut self, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.key(name), fields);
    }

    /// An object whose keys may need escapes; left out when empty.
    pub(super) fn map<V>(&mut self, name: &str, entries: &[(&str, V)], fields: impl Fn(&mut Object<'_>, &V)) {
        if entries.is_empty() {
            return;
        }
        let out = self.key(name);
        for (index, (key, value)) in entries.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            put(out, *key);
            out.push(b':');
            Object::write(out, |object| fields(object, value));
        }
        out.push(b'}');
    }

    /// An array of objects; left out when empty.
    pub(super) fn array_always<V>(&mut self, name: &str, items: &[V], fields: impl Fn(&mut Object<'_>, &V)) {
        let out = self.key(name);
        out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            Object::write(out, |object| fields(object, item));
        }
        out.push(b']');
    }

    pub(super) fn number_always<T: Serialize>(&mut self, name: &str, value: T) {
        put(self.key(name), &value);
    }

    pub(super) fn array<V>(&mut self, name: &str, items: &[V], fields: impl Fn(&mut Object<'_>, &V)) {
        if items.is_empty() {
            return;
        }
        self.array_always(name, items, fields);
    }
}

#[expect(
    clippy::expect_used,
    reason = "strings and integers always serialise, and a vector takes every write"
)]
fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a scalar is written into a vector");
}

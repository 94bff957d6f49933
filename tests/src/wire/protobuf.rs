//! Protobuf by a table of fields, without the gateway's codec and without generated types.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// A field of a message.
pub(super) struct Field(pub(super) u32, pub(super) &'static str, pub(super) Kind);

/// What a field holds, and how JSON has it.
pub(super) enum Kind {
    /// A whole number; negative ones as 64 bits.
    Number,
    Switch,
    Text,
    Texts,
    /// Bytes that hold a JSON text.
    Json,
    One(&'static [Field]),
    Many(&'static [Field]),
    /// By names that are texts.
    Map(&'static [Field]),
    /// Texts by names.
    Tags,
}

const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// The fields of a JSON object. Fields that hold their default are left out; one that the table has not is an error.
pub(super) fn encode(fields: &[Field], value: &Value) -> Result<Vec<u8>> {
    let object = value.as_object().context("not an object")?;
    let mut bytes = Vec::new();
    let unknown = object
        .keys()
        .find(|name| fields.iter().all(|field| field.1 != *name));
    ensure!(unknown.is_none(), "no field {unknown:?}");
    for Field(number, name, kind) in fields {
        if let Some(value) = object.get(*name) {
            put(&mut bytes, *number, kind, value).with_context(|| (*name).to_owned())?;
        }
    }
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, number: u32, kind: &Kind, value: &Value) -> Result<()> {
    match kind {
        Kind::Number => {
            let whole = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
            put_number(bytes, number, whole.context("not a number")?);
        }
        Kind::Switch => put_number(bytes, number, value.as_bool().context("not a switch")?.into()),
        Kind::Text => put_filled(bytes, number, value.as_str().context("not a text")?.as_bytes()),
        Kind::Texts => {
            for item in value.as_array().context("not a list")? {
                put_field(bytes, number, item.as_str().context("not a text")?.as_bytes());
            }
        }
        Kind::Json => put_filled(bytes, number, value.to_string().as_bytes()),
        Kind::One(fields) => put_field(bytes, number, &encode(fields, value)?),
        Kind::Many(fields) => {
            for item in value.as_array().context("not a list")? {
                put_field(bytes, number, &encode(fields, item)?);
            }
        }
        Kind::Map(fields) => {
            for (name, item) in value.as_object().context("not an object")? {
                let mut entry = Vec::new();
                put_field(&mut entry, 1, name.as_bytes());
                put_field(&mut entry, 2, &encode(fields, item)?);
                put_field(bytes, number, &entry);
            }
        }
        Kind::Tags => {
            for (name, item) in value.as_object().context("not an object")? {
                let mut entry = Vec::new();
                put_field(&mut entry, 1, name.as_bytes());
                put_field(&mut entry, 2, item.as_str().context("not a text")?.as_bytes());
                put_field(bytes, number, &entry);
            }
        }
    }
    Ok(())
}

fn put_number(bytes: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(bytes, u64::from(number) << 3 | VARINT);
        put_varint(bytes, value);
    }
}

fn put_filled(bytes: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        put_field(bytes, number, value);
    }
}

fn put_field(bytes: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(bytes, u64::from(number) << 3 | BYTES);
    put_bytes(bytes, value);
}

/// Bytes behind their length.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    put_varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// The message as a JSON object.
pub(super) fn decode(fields: &[Field], mut bytes: &[u8]) -> Result<Value> {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = fields.iter().find(|field| u64::from(field.0) == key >> 3);
        let Field(_, name, kind) = field.with_context(|| format!("no field {}", key >> 3))?;
        match kind {
            Kind::Number | Kind::Switch => {
                ensure!(key & 7 == VARINT, "{name}: wire type {}", key & 7);
                let number = take_varint(&mut bytes)?;
                let value = if matches!(kind, Kind::Switch) {
                    json!(number != 0)
                } else {
                    json!(number)
                };
                object.insert((*name).to_owned(), value);
            }
            _ => {
                ensure!(key & 7 == BYTES, "{name}: wire type {}", key & 7);
                let value = take_bytes(&mut bytes)?;
                insert(&mut object, name, kind, value).with_context(|| (*name).to_owned())?;
            }
        }
    }
    Ok(Value::Object(object))
}

fn insert(object: &mut Map<String, Value>, name: &str, kind: &Kind, bytes: &[u8]) -> Result<()> {
    let value = match kind {
        Kind::Text => std::str::from_utf8(bytes)?.into(),
        Kind::Json => serde_json::from_slice(bytes)?,
        Kind::One(fields) => decode(fields, bytes)?,
        Kind::Texts => return push(object, name, std::str::from_utf8(bytes)?.into()),
        Kind::Many(fields) => return push(object, name, decode(fields, bytes)?),
        Kind::Map(fields) => return set(object, name, Kind::One(fields), bytes),
        Kind::Tags => return set(object, name, Kind::Text, bytes),
        Kind::Number | Kind::Switch => bail!("not bytes"),
    };
    object.insert(name.to_owned(), value);
    Ok(())
}

/// Adds to a list.
fn push(object: &mut Map<String, Value>, name: &str, item: Value) -> Result<()> {
    let items = object.entry(name).or_insert_with(|| json!([]));
    items.as_array_mut().context("not a list")?.push(item);
    Ok(())
}

/// Adds an entry of a map.
fn set(object: &mut Map<String, Value>, name: &str, kind: Kind, bytes: &[u8]) -> Result<()> {
    let entry = decode(&[Field(1, "key", Kind::Text), Field(2, "value", kind)], bytes)?;
    let key = entry["key"].as_str().unwrap_or_default();
    object.entry(name).or_insert_with(|| json!({}))[key] = entry["value"].clone();
    Ok(())
}

/// Where the first message behind its length starts and ends, if all of it is there.
pub(super) fn prefixed(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut rest = bytes;
    let Ok(length) = take_varint(&mut rest) else {
        return Ok(None);
    };
    let start = bytes.len() - rest.len();
    let end = start + usize::try_from(length)?;
    Ok((end <= bytes.len()).then_some((start, end)))
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?)?;
    let (head, tail) = bytes.split_at_checked(length).context("cut short")?;
    *bytes = tail;
    Ok(head)
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().context("cut short")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number of more than 64 bits")
}

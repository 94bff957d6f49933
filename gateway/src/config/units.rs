//! Durations and sizes as people write them: `25s`, `1m 30s`; `64KiB`, `1MiB`, `512`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads `25s` or `1m 30s`; a number without a unit is refused because nobody can tell seconds from milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Reads `64KiB`, `1MiB` or plain bytes. `KB` and `MB` are refused: half of their users mean 1000.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
        .unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration as it is written in the configuration.
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A size in bytes in the largest unit that divides it.
pub fn show_size(bytes: usize) -> String {
    show_bytes(bytes as u64)
}

/// [`show_size`] for what may be larger than memory.
pub(super) fn show_bytes(bytes: u64) -> String {
    match UNITS
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) if *factor > 1 => format!("{}{unit}", bytes / factor),
        _ => bytes.to_string(),
    }
}

/// serde for a duration field.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_duration(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).ok_or_else(|| D::Error::custom("not a duration"))
    }
}

/// `deserialize_with` for a duration field that may be left out.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_duration(&text).ok_or_else(|| D::Error::custom("not a duration")))
        .transpose()
}

/// A size as it is written, in bytes or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSize {
    Bytes(u64),
    Text(String),
}

impl WrittenSize {
    fn bytes<E: Error>(self) -> Result<u64, E> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Text(text) => parse_size(&text).ok_or_else(|| E::custom("not a size")),
        }
    }
}

/// serde for a size field, in bytes.
pub(super) mod size {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::WrittenSize;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes fields by reference"
    )]
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_size(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        let bytes = WrittenSize::deserialize(deserializer)?.bytes()?;
        usize::try_from(bytes).map_err(|_| D::Error::custom("not a size of this machine"))
    }
}

/// serde for a size field that may be left out, in bytes, of what may be larger than memory.
pub(super) mod optional_size {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::WrittenSize;

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(super::show_bytes).serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        let written = Option::<WrittenSize>::deserialize(deserializer)?;
        written.map(WrittenSize::bytes).transpose()
    }
}

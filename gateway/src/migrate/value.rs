//! How Centrifugo writes values, and how they are written here.

use std::time::Duration;

use serde_yaml_ng::Value;

use crate::config::show_duration;

/// What an option holds.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As Go writes it (`1m30s`), or nanoseconds.
    Duration,
    /// A whole number: of bytes or of anything else.
    Number,
    Switch,
    Text,
    /// Texts; in one text, separated by spaces.
    List,
}

impl Form {
    /// The value as the gateway writes it; otherwise what would have been right.
    pub(super) fn read(self, value: &Value) -> Result<Value, &'static str> {
        match self {
            Self::Duration => duration(value)
                .map(|duration| show_duration(duration).into())
                .ok_or("a duration such as 25s"),
            Self::Number => number(value).map(Value::from).ok_or("a whole number"),
            Self::Switch => switch(value).map(Value::from).ok_or("true or false"),
            Self::Text => text(value).map(Value::from).ok_or("a text"),
            Self::List => list(value)
                .map(|items| items.into_iter().map(Value::from).collect::<Vec<_>>().into())
                .ok_or("a list of texts"),
        }
    }
}

pub(super) fn is_true(value: &Value) -> bool {
    switch(value) == Some(true)
}

/// Whether a value leaves off what the option could turn on.
pub(super) fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "" | "0" | "0s" | "false"),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(section) => section.is_empty(),
        Value::Bool(true) | Value::Tagged(_) => false,
    }
}

/// Whether a text can name a namespace or a proxy.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.len() <= 64 && text.chars().all(fits)
}

/// Whether a value reads so.
pub(super) fn shows(value: &Value, expected: &str) -> bool {
    text(value).is_some_and(|text| text == expected)
}

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        _ => None,
    }
}

pub(super) fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(
            text.split([' ', ','])
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        Value::Sequence(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(switch) => Some(*switch),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => go_duration(text),
        value => value.as_u64().map(Duration::from_nanos),
    }
}

/// Numbers with units, such as `1m30s` or `1.5h` (`time.ParseDuration` of Go); signs are none of a configuration's.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(count.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

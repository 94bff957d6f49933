//! What an expression looks at.

use std::collections::HashMap;

use cel::{Context, Value, objects::Key};
use serde_json::value::RawValue;

use super::{Unanswered, check::Uses};

/// Longest meta or claims in bytes: as long as a token may be.
const MAX_TEXT: usize = 16 * 1024;
/// Values in one of them, the keys not counted.
const MAX_VALUES: usize = 1024;
/// Longest user in bytes: as long as a room's name may be.
const MAX_USER: usize = 255;

/// A client, what it asks for, and where.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub user: &'a str,
    pub channel: &'a str,
    /// Empty for rooms without one.
    pub namespace: &'a str,
    pub subscribed: bool,
    pub meta: Option<&'a RawValue>,
    pub claims: Option<&'a RawValue>,
}

impl Facts<'_> {
    /// Adds those that are looked at. What is not there, or is no object, is an empty one.
    pub(super) fn describe(&self, context: &mut Context<'_>, uses: Uses) -> Result<(), Unanswered> {
        if self.user.len() > MAX_USER {
            return Err(Unanswered::TooLarge);
        }
        context.add_variable_from_value("user", self.user);
        context.add_variable_from_value("channel", self.channel);
        context.add_variable_from_value("namespace", self.namespace);
        context.add_variable_from_value("subscribed", self.subscribed);
        for (name, is_used, text) in [
            ("meta", uses.meta, self.meta),
            ("claims", uses.claims, self.claims),
        ] {
            if is_used {
                context.add_variable_from_value(name, object(text)?);
            }
        }
        Ok(())
    }
}

fn object(text: Option<&RawValue>) -> Result<Value, Unanswered> {
    let text = text.map_or("{}", RawValue::get);
    if text.len() > MAX_TEXT {
        return Err(Unanswered::TooLarge);
    }
    let json = serde_json::from_str(text).unwrap_or_default();
    let json = match json {
        serde_json::Value::Object(_) => json,
        _ => serde_json::Value::Object(serde_json::Map::new()),
    };
    let mut left = MAX_VALUES;
    value(json, &mut left).ok_or(Unanswered::TooLarge)
}

/// `None` when there are more than `left`. The JSON was read, so it is no deeper than its reader goes.
fn value(json: serde_json::Value, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(1)?;
    Some(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64()?),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(items) => {
            let items = items.into_iter().map(|item| value(item, left));
            Value::List(items.collect::<Option<Vec<_>>>()?.into())
        }
        serde_json::Value::Object(members) => {
            let members = members.into_iter();
            let members = members.map(|(name, member)| Some((Key::from(name), value(member, left)?)));
            Value::Map(members.collect::<Option<HashMap<_, _>>>()?.into())
        }
    })
}

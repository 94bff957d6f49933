//! From a body to commands. A body is read whole before the first of them is carried out.

use std::collections::BTreeMap;

use natter_protocol::ErrorCode;
use serde::Deserialize;
use serde_json::{Deserializer, value::RawValue};

use super::super::{
    BATCH, METHODS,
    refusal::Refusal,
    request::{or_default, parse},
};

/// A call among several.
pub(super) struct Command<'a> {
    /// Of a command on a line, for its answer; 0 without one.
    pub(super) id: u32,
    /// What is to be done, or why it cannot be told.
    pub(super) method: Result<&'static str, Refusal>,
    /// JSON text.
    pub(super) params: &'a [u8],
}

#[derive(Deserialize)]
struct BatchRequest<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    commands: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "or_default")]
    parallel: bool,
}

#[derive(Deserialize)]
struct LineRequest<'a> {
    #[serde(default, deserialize_with = "or_default")]
    id: u32,
    #[serde(default, deserialize_with = "or_default")]
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// The commands of a batch, and whether they may run side by side.
pub(super) fn batch(body: &[u8]) -> serde_json::Result<(Vec<Command<'_>>, bool)> {
    let BatchRequest { commands, parallel } = parse(body)?;
    Ok((commands.into_iter().map(of_batch).collect(), parallel))
}

/// Commands one behind the other, on lines or not; at least one.
pub(super) fn lines(body: &[u8]) -> serde_json::Result<Vec<Command<'_>>> {
    let mut values = Deserializer::from_slice(body).into_iter::<&RawValue>().peekable();
    if values.peek().is_none() {
        parse::<LineRequest<'_>>(body)?;
    }
    values.map(|value| value.and_then(on_line)).collect()
}

fn of_batch(command: &RawValue) -> Command<'_> {
    let (method, params) = match named(command) {
        Ok((method, params)) => (Ok(method), params),
        Err(refusal) => (Err(refusal), command),
    };
    Command {
        id: 0,
        method,
        params: params.get().as_bytes(),
    }
}

/// The one method that a command of a batch names. Other fields are ignored, as everywhere.
fn named(command: &RawValue) -> Result<(&'static str, &RawValue), Refusal> {
    let fields: BTreeMap<String, Option<&RawValue>> = parse(command.get().as_bytes())
        .map_err(|error| Refusal::bad(format!("the command is wrong: {error}")))?;
    let mut methods = fields
        .into_iter()
        .filter_map(|(name, params)| Some((known(&name)?, params?)));
    match (methods.next(), methods.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ErrorCode::MethodNotFound.into()),
        (Some(_), Some(_)) => Err(Refusal::bad("the command names two methods")),
    }
}

fn on_line(command: &RawValue) -> serde_json::Result<Command<'_>> {
    let LineRequest { id, method, params } = parse(command.get().as_bytes())?;
    Ok(Command {
        id,
        method: known(&method.to_ascii_lowercase()).ok_or_else(|| ErrorCode::MethodNotFound.into()),
        params: params.map_or(b"{}", |params| params.get().as_bytes()),
    })
}

/// A method that a command may name.
fn known(name: &str) -> Option<&'static str> {
    METHODS
        .into_iter()
        .find(|known| *known == name && *known != BATCH)
}

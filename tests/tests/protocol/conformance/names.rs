//! Replies and pushes without what differs from run to run.

use anyhow::{Context, Result, ensure};
use natter_tests::wire::{Wire, canonical};
use serde_json::{Value, json};

/// What differs from run to run, and what stands for it.
pub(super) struct Names(Vec<(String, &'static str)>);

impl Names {
    pub(super) fn of(reply: &Value) -> Self {
        let mut names = Self(Vec::new());
        for (field, name) in [
            ("client", "CLIENT"),
            ("version", "VERSION"),
            ("session", "SESSION"),
            ("node", "NODE"),
        ] {
            names.learn(name, &reply["connect"][field]);
        }
        names
    }

    pub(super) fn learn(&mut self, name: &'static str, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.0.push((text.to_owned(), name));
        }
    }

    pub(super) fn expect(&self, got: &Value, expected: &Value) -> Result<()> {
        let masked = self.masked(canonical(got)?);
        ensure!(masked == *expected, "{got} where {expected} was due");
        Ok(())
    }

    fn masked(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.name(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.masked(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (self.name(&key).to_owned(), self.masked(value)))
                .collect(),
            other => other,
        }
    }

    fn name<'a>(&self, text: &'a str) -> &'a str {
        let known = self.0.iter().find(|(known, _)| known == text);
        known.map_or(text, |(_, name)| *name)
    }

    /// A command that the server ends the connection for, and says why.
    pub(super) async fn ends(&self, mut wire: Wire, command: Value, code: u32, reason: &str) -> Result<()> {
        wire.send(std::slice::from_ref(&command)).await?;
        let end = wire
            .recv_where(|value| value["push"].get("disconnect").is_some())
            .await?;
        let expected = json!({ "push": { "disconnect": { "code": code, "reason": reason } } });
        self.expect(&end, &expected)
            .with_context(|| command.to_string())?;
        ensure!(wire.recv().await?.is_none(), "it goes on");
        Ok(())
    }
}

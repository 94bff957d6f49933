//! The table of all keys in `docs/configuration.md`, written from the schema and the defaults.

use serde_yaml_ng::Value;

use super::{
    environment::variable,
    raw::RawSettings,
    schema::KEYS,
    settings::{ApiKeySettings, HistoryOptions, IssuerSettings, Namespace, NatsSettings, ProxySettings},
};

const BEGIN: &str = "<!-- begin: natter-gateway config-reference -->\n";
const END: &str = "<!-- end: natter-gateway config-reference -->";

/// Every key with its variable, kind and default, as a Markdown table.
pub fn table() -> String {
    let mut table =
        String::from("| key | variable | value | default | reload | meaning |\n|---|---|---|---|---|---|\n");
    for key in KEYS {
        let variable = if key.path.contains("[]") {
            "–".to_owned()
        } else {
            format!("`{}`", variable(key.path))
        };
        let (kind, default) = (key.kind.label(), default_of(key.path));
        let reload = if key.live { "yes" } else { "restart" };
        let row = format!(
            "| `{}` | {variable} | {kind} | {default} | {reload} | {} |\n",
            key.path, key.doc
        );
        table.push_str(&row);
    }
    table
}

/// The document with a fresh table between its two marks; `None` without the marks.
pub fn rewrite_reference(document: &str) -> Option<String> {
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{}\n{END}{tail}", table()))
}

fn default_of(path: &str) -> String {
    const REQUIRED: [&str; 6] = [
        "api.scoped_keys[].name",
        "rooms.namespaces[].name",
        "proxies[].name",
        "proxies[].endpoint",
        "tokens[].name",
        "bus.nats.servers",
    ];
    if REQUIRED.contains(&path) {
        return "required".to_owned();
    }
    let (root, inner) = if let Some((_, inner)) = path.split_once(".history.") {
        (serde_yaml_ng::to_value(HistoryOptions::default()), inner)
    } else if let Some(inner) = path.strip_prefix("rooms.namespaces[].") {
        (serde_yaml_ng::to_value(Namespace::default()), inner)
    } else if let Some(inner) = path.strip_prefix("proxies[].") {
        (serde_yaml_ng::to_value(ProxySettings::default()), inner)
    } else if let Some(inner) = path.strip_prefix("api.scoped_keys[].") {
        (serde_yaml_ng::to_value(ApiKeySettings::default()), inner)
    } else if let Some(inner) = path.strip_prefix("tokens[].") {
        (serde_yaml_ng::to_value(IssuerSettings::default()), inner)
    } else if let Some(inner) = path.strip_prefix("bus.nats.") {
        (serde_yaml_ng::to_value(NatsSettings::default()), inner)
    } else {
        (serde_yaml_ng::to_value(RawSettings::default()), path)
    };
    let value = root.ok().and_then(|root| {
        inner
            .split('.')
            .try_fold(root, |value, name| value.get(name).cloned())
    });
    value.map_or_else(|| "?".to_owned(), |value| format!("`{}`", show(&value)))
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", show(key), show(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Bool(switch) => switch.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Tagged(_) => "null".to_owned(),
    }
}

//! Backends that are asked: Centrifugo has one for each kind of question, and more by name; here each has a name.

use serde_yaml_ng::Value;

use super::{
    outcome::Draft,
    source::{Entry, Source},
    value::{self, Form},
};

/// Proxies without a name of their own, and the one that they are given.
const UNNAMED: [(&str, &str); 6] = [
    ("client.proxy.connect", "connect"),
    ("client.proxy.refresh", "refresh"),
    ("channel.proxy.subscribe", "subscribe"),
    ("channel.proxy.sub_refresh", "sub_refresh"),
    ("channel.proxy.publish", "publish"),
    ("rpc.proxy", "rpc"),
];

const OPTIONS: [(&str, Form); 4] = [
    ("timeout", Form::Duration),
    ("http_headers", Form::List),
    ("binary_encoding", Form::Switch),
    ("include_connection_meta", Form::Switch),
];

/// Writes all proxies, and which of them are asked about connections and answer calls; gives their names.
pub(super) fn convert(source: &Source, draft: &mut Draft) -> Vec<String> {
    let mut names = Vec::new();
    let of_list = (0..source.length("proxies"))
        .map(|index| (format!("proxies[{index}]"), None))
        .collect::<Vec<_>>();
    let unnamed = UNNAMED.map(|(from, name)| (from.to_owned(), Some(name)));
    for (from, name) in of_list.into_iter().chain(unnamed) {
        let name = name.or_else(|| source.text(&format!("{from}.name")));
        if let Some(name) = name
            && proxy(source, &from, name, names.len(), draft)
        {
            names.push(name.to_owned());
        }
    }
    let connections = Choice {
        is_on: asks_to_connect(source),
        named_by: "client.proxy.connect.name",
        unnamed: "connect",
        key: "client.connect_proxy",
    };
    let renewals = Choice {
        is_on: is_old(source, "client.proxy.refresh") || source.flag("client.proxy.refresh.enabled"),
        named_by: "client.proxy.refresh.name",
        unnamed: "refresh",
        key: "client.refresh_proxy",
    };
    let calls = Choice {
        is_on: is_old(source, "rpc.proxy") || source.flag("rpc.without_namespace.proxy_enabled"),
        named_by: "rpc.without_namespace.proxy_name",
        unnamed: "rpc",
        key: "client.rpc_proxy",
    };
    for choice in [connections, renewals, calls] {
        choose(source, draft, &names, &choice);
    }
    names
}

/// Whether a backend says who the clients are.
pub(super) fn asks_to_connect(source: &Source) -> bool {
    is_old(source, "client.proxy.connect") || source.flag("client.proxy.connect.enabled")
}

/// In version 5 an address was enough.
fn is_old(source: &Source, proxy: &str) -> bool {
    let endpoint = source.get(&format!("{proxy}.endpoint"));
    endpoint.is_some_and(|entry| entry.written.starts_with("proxy_"))
}

/// Which proxy is asked for something.
pub(super) struct Choice<'a> {
    pub(super) is_on: bool,
    /// The option with the proxy's name.
    pub(super) named_by: &'a str,
    /// What the proxy of this kind is called when that is not written.
    pub(super) unnamed: &'a str,
    pub(super) key: &'a str,
}

/// Writes which proxy it is; false when none is asked.
pub(super) fn choose(source: &Source, draft: &mut Draft, names: &[String], choice: &Choice<'_>) -> bool {
    if !choice.is_on {
        return false;
    }
    let chosen = source.text(choice.named_by).filter(|name| *name != "default");
    let name = chosen.unwrap_or(choice.unnamed);
    if names.iter().any(|known| known == name) {
        draft.set(choice.key, name.into(), choice.named_by);
        return true;
    }
    draft.leave_key(&source.written(choice.named_by), "no such proxy was converted");
    false
}

/// Writes one proxy; false when there is none to be asked over HTTP.
fn proxy(source: &Source, from: &str, name: &str, index: usize, draft: &mut Draft) -> bool {
    let Some(endpoint) = source.get(&format!("{from}.endpoint")) else {
        return false;
    };
    let address = endpoint.value.as_str().unwrap_or_default();
    if !address.starts_with("http://") && !address.starts_with("https://") {
        draft.leave(endpoint, "backends are asked over HTTP");
        return false;
    }
    let to = format!("proxies[{index}]");
    draft.set(
        &format!("{to}.name"),
        name.into(),
        &source.written(&format!("{from}.name")),
    );
    draft.set(&format!("{to}.endpoint"), address.into(), &endpoint.written);
    for (option, form) in OPTIONS {
        if let Some(entry) = source.get(&format!("{from}.{option}")) {
            match form.read(&entry.value) {
                Ok(value) => draft.set(&format!("{to}.{option}"), value, &entry.written),
                Err(expected) => draft.leave(entry, &format!("not {expected}")),
            }
        }
    }
    let section = format!("{from}.http.static_headers");
    let headers: Vec<Value> = source
        .below(&section)
        .flat_map(|entry| lines(entry, &section))
        .collect();
    if !headers.is_empty() {
        draft.set(&format!("{to}.static_headers"), headers.into(), &section);
    }
    true
}

/// Headers as `Name: value`, from one option of a section or from a list of keys and values.
fn lines(entry: &Entry, section: &str) -> Vec<Value> {
    let line = |name: &str, value: &Value| Some(Value::from(format!("{name}: {}", value::text(value)?)));
    match (&entry.value, entry.path.strip_prefix(section)) {
        (Value::Sequence(pairs), _) => {
            let pair = |pair: &Value| line(pair.get("key")?.as_str()?, pair.get("value")?);
            pairs.iter().filter_map(pair).collect()
        }
        (value, Some(name)) => line(name.trim_start_matches('.'), value).into_iter().collect(),
        _ => Vec::new(),
    }
}

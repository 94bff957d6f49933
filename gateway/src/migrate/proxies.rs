//! Backends that are asked: Centrifugo has one for each kind of question, and more by name; here each has a name.

use serde_yaml_ng::Value;

use super::{
    outcome::Draft,
    source::{Entry, Source},
    value::{self, Form},
};
use crate::config::ProxyUrl;

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

/// Where version 5 has what proxies without a name share.
const SHARED: &str = "channel.proxy";

/// The proxies that were converted.
#[derive(Default)]
pub(super) struct Proxies {
    /// By the names that the file has.
    named: Vec<String>,
    /// By those that are given here.
    unnamed: Vec<&'static str>,
}

/// Who stands before what clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// No backend: permissions alone decide.
    None,
    Asked,
    /// A backend that cannot be asked: permissions meant nothing beside it, so they let nobody in now.
    Lost,
}

/// Writes all proxies, and which of them answers calls and is asked about connections; gives what guards those.
pub(super) fn convert(source: &Source, draft: &mut Draft) -> (Proxies, Guard) {
    let mut proxies = Proxies::default();
    for index in 0..source.length("proxies") {
        proxies.add_named(source, &format!("proxies[{index}]"), draft);
    }
    for (from, name) in UNNAMED {
        proxies.add_unnamed(source, from, name, draft);
    }
    spare_shared(source, draft);
    let connect = "client.proxy.connect.name";
    let connections = Choice {
        switch: switch(source, "client.proxy.connect.enabled", connect)
            .or_else(|| old_address(source, "client.proxy.connect.endpoint")),
        named_by: connect,
        unnamed: "connect",
        key: "client.connect_proxy",
        otherwise: "no such proxy was converted",
    };
    let refresh = "client.proxy.refresh.name";
    let renewals = Choice {
        switch: switch(source, "client.proxy.refresh.enabled", refresh)
            .or_else(|| old_address(source, "client.proxy.refresh.endpoint")),
        named_by: refresh,
        unnamed: "refresh",
        key: "client.refresh_proxy",
        otherwise: "no such proxy was converted",
    };
    let call = "rpc.without_namespace.proxy_name";
    let calls = Choice {
        switch: switch(source, "rpc.without_namespace.proxy_enabled", call)
            .or_else(|| old_address(source, "rpc.proxy.endpoint")),
        named_by: call,
        unnamed: "rpc",
        key: "client.rpc_proxy",
        otherwise: "no such proxy was converted",
    };
    let guard = proxies.choose(source, draft, &connections);
    for choice in [renewals, calls] {
        proxies.choose(source, draft, &choice);
    }
    (proxies, guard)
}

/// The option that has a proxy asked. In version 5 its name was enough.
pub(super) fn switch<'a>(source: &Source, enabled: &'a str, named_by: &'a str) -> Option<&'a str> {
    if source.is_on(enabled) {
        Some(enabled)
    } else {
        source.is_old(named_by).then_some(named_by)
    }
}

/// In version 5 an address was enough, too.
fn old_address<'a>(source: &Source, endpoint: &'a str) -> Option<&'a str> {
    source.is_old(endpoint).then_some(endpoint)
}

/// Which proxy is asked for something.
pub(super) struct Choice<'a> {
    /// The option that says that one is asked.
    pub(super) switch: Option<&'a str>,
    /// The option with the proxy's name.
    pub(super) named_by: &'a str,
    /// What the proxy of this kind is called when that is not written.
    pub(super) unnamed: &'a str,
    pub(super) key: &'a str,
    /// What is said when it was not converted.
    pub(super) otherwise: &'a str,
}

impl Proxies {
    /// Writes which proxy it is.
    pub(super) fn choose(&self, source: &Source, draft: &mut Draft, choice: &Choice<'_>) -> Guard {
        let Some(switch) = choice.switch else {
            if let Some(entry) = source.get(choice.named_by) {
                draft.spare(entry, "says which proxy, where one is enabled");
            }
            return Guard::None;
        };
        let own = source
            .text(choice.named_by)
            .filter(|name| *name != "default" || source.is_old(choice.named_by));
        let (name, is_there) = match own {
            Some(name) => (name, self.named.iter().any(|known| known == name)),
            None => (choice.unnamed, self.unnamed.contains(&choice.unnamed)),
        };
        let option = source.written(if own.is_some() { choice.named_by } else { switch });
        if is_there {
            draft.set(choice.key, name.into(), &option);
            Guard::Asked
        } else {
            draft.leave_key(&option, choice.otherwise);
            Guard::Lost
        }
    }

    fn add_named(&mut self, source: &Source, from: &str, draft: &mut Draft) {
        let option = format!("{from}.name");
        let Some(name) = source.text(&option) else {
            let endpoint = source.written(&format!("{from}.endpoint"));
            return draft.leave_key(&endpoint, "the proxy is left out: it has no name");
        };
        let why = if !value::is_name(name) {
            "the proxy is left out: its name must be of 1 to 64 letters, digits, _ or -"
        } else if self.named.iter().any(|other| other == name) {
            "the proxy is left out: its name is there twice"
        } else if source.get(&format!("{from}.endpoint")).is_none() {
            "the proxy is left out: it has no endpoint"
        } else {
            if proxy(source, from, name, self.count(), draft) {
                self.named.push(name.to_owned());
            }
            return;
        };
        draft.leave_key(&source.written(&option), why);
    }

    fn add_unnamed(&mut self, source: &Source, from: &str, name: &'static str, draft: &mut Draft) {
        if self.named.iter().any(|other| other == name) {
            if let Some(endpoint) = source.get(&format!("{from}.endpoint")) {
                let why = format!("the proxy is left out: another one is called `{name}`, as it would be");
                draft.leave(endpoint, &why);
            }
        } else if proxy(source, from, name, self.count(), draft) {
            self.unnamed.push(name);
        }
    }

    fn count(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }
}

/// What no proxy takes because none of version 5 is without a name.
fn spare_shared(source: &Source, draft: &mut Draft) {
    if UNNAMED
        .iter()
        .any(|(from, _)| source.is_old(&format!("{from}.endpoint")))
    {
        return;
    }
    let shared = OPTIONS.iter().map(|(option, _)| format!("{SHARED}.{option}"));
    let headers = format!("{SHARED}.http.static_headers");
    let options = shared.filter_map(|option| source.get(&option));
    for entry in options.chain(source.below(&headers)) {
        draft.spare(entry, "for proxies without a name, of which there is none");
    }
}

/// Writes one proxy; false when there is none to be asked over HTTP.
fn proxy(source: &Source, from: &str, name: &str, index: usize, draft: &mut Draft) -> bool {
    let Some(endpoint) = source.get(&format!("{from}.endpoint")) else {
        return false;
    };
    let address = endpoint.value.as_str().unwrap_or_default();
    if address.parse::<ProxyUrl>().is_err() {
        draft.leave(
            endpoint,
            "backends are asked over HTTP: an http or https URL without credentials and #",
        );
        return false;
    }
    let to = format!("proxies[{index}]");
    draft.set(
        &format!("{to}.name"),
        name.into(),
        &source.written(&format!("{from}.name")),
    );
    draft.set(&format!("{to}.endpoint"), address.into(), &endpoint.written);
    let shared = source.is_old(&endpoint.path).then_some(SHARED);
    for (option, form) in OPTIONS {
        let mut places = [Some(from), shared].into_iter().flatten();
        if let Some(entry) = places.find_map(|section| source.get(&format!("{section}.{option}"))) {
            match form.read(&entry.value) {
                Ok(value) => draft.set(&format!("{to}.{option}"), value, &entry.written),
                Err(expected) => draft.leave(entry, &format!("not {expected}")),
            }
        }
    }
    let section = format!("{}.http.static_headers", shared.unwrap_or(from));
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

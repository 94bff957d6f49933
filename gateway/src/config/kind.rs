//! The kinds of values: how each is checked, read from a variable and described.

use std::net::SocketAddr;

use http::HeaderName;
use ipnet::IpNet;
use serde_yaml_ng::Value;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    nats_url::NatsUrl,
    proxy_url::ProxyUrl,
    static_header::StaticHeader,
    units::{parse_duration, parse_size},
};
use crate::telemetry::check_endpoint;

/// Longest value that an error quotes in full, in characters.
const QUOTED: usize = 60;

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Duration,
    Size,
    Switch,
    Count,
    /// A whole number from one to another.
    Between(u16, u16),
    /// One of a few numbers.
    OneOf(&'static [u8]),
    Ratio,
    Text,
    Filter,
    Header,
    Endpoint,
    Choice(&'static [&'static str]),
    Origins,
    /// Networks of IP addresses.
    Networks,
    Secrets,
    NatsUrls,
    /// Names of headers.
    HeaderNames,
    /// Headers with their values.
    StaticHeaders,
    ProxyUrl,
    Namespaces,
    Proxies,
    Issuers,
    ApiKeys,
    /// Names of other things in the configuration, or of methods.
    Names,
    /// A section that may be `null`, which means something else than leaving it out.
    Nullable,
}

impl Kind {
    /// Whether a variable holds YAML text and not the bare value.
    pub(super) fn is_tree(self) -> bool {
        matches!(
            self,
            Self::Namespaces | Self::Proxies | Self::Issuers | Self::ApiKeys | Self::Nullable
        )
    }

    pub(super) fn is_list(self) -> bool {
        matches!(
            self,
            Self::Origins
                | Self::Secrets
                | Self::NatsUrls
                | Self::HeaderNames
                | Self::StaticHeaders
                | Self::Names
                | Self::Networks
        )
    }

    /// Whether a value may hold credentials, so that no error may quote it.
    pub(super) fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Secrets | Self::NatsUrls | Self::Endpoint | Self::StaticHeaders | Self::ProxyUrl
        )
    }

    /// Whether the value (of a list: one element) is of this kind.
    pub(super) fn accepts(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Address => text.is_some_and(|t| t.parse::<SocketAddr>().is_ok()),
            Self::Duration => text.is_some_and(|t| parse_duration(t).is_some()),
            Self::Size => value.as_u64().is_some() || text.is_some_and(|t| parse_size(t).is_some()),
            Self::Switch => value.is_bool(),
            Self::Count => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            Self::Between(least, most) => value
                .as_u64()
                .is_some_and(|n| (u64::from(least)..=u64::from(most)).contains(&n)),
            Self::OneOf(numbers) => value
                .as_u64()
                .is_some_and(|n| numbers.iter().any(|number| u64::from(*number) == n)),
            Self::Ratio => value.as_f64().is_some_and(f64::is_finite),
            Self::Text | Self::Names | Self::Secrets => text.is_some(),
            Self::Filter => text.is_some_and(is_filter),
            Self::Header | Self::HeaderNames => text.is_some_and(|t| t.parse::<HeaderName>().is_ok()),
            Self::StaticHeaders => text.is_some_and(|t| t.parse::<StaticHeader>().is_ok()),
            Self::ProxyUrl => text.is_some_and(|t| t.parse::<ProxyUrl>().is_ok()),
            Self::Endpoint => text.is_some_and(|t| check_endpoint(t).is_ok()),
            Self::Choice(choices) => text.is_some_and(|t| choices.contains(&t)),
            Self::Origins => text.is_some_and(is_origin),
            Self::Networks => text.is_some_and(|t| t.parse::<IpNet>().is_ok()),
            Self::NatsUrls => text.is_some_and(|t| t.parse::<NatsUrl>().is_ok()),
            Self::Namespaces | Self::Proxies | Self::Issuers | Self::ApiKeys => value.is_sequence(),
            Self::Nullable => value.is_mapping() || value.is_null(),
        }
    }

    /// The value in a variable or a flag; a list is separated by commas. Only a tree can fail.
    pub(super) fn read(self, text: &str) -> Result<Value, serde_yaml_ng::Error> {
        if self.is_tree() {
            return serde_yaml_ng::from_str(text);
        }
        if self.is_list() {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Ok(Value::Sequence(items.map(Value::from).collect()));
        }
        let scalar = matches!(
            self,
            Self::Switch | Self::Count | Self::Between(..) | Self::OneOf(_) | Self::Ratio
        );
        let value = scalar.then(|| serde_yaml_ng::from_str(text).ok()).flatten();
        Ok(value
            .filter(|value: &Value| !value.is_null())
            .unwrap_or_else(|| Value::from(text)))
    }

    /// `"25x" is not a duration`, without the value where it may be secret.
    pub(super) fn refusal(self, value: &Value) -> String {
        if let (Self::Between(_, most), Some(number)) = (self, value.as_u64()) {
            let size = if number > u64::from(most) {
                "large"
            } else {
                "small"
            };
            return format!("{number} is too {size}");
        }
        let shown = if self.is_secret() {
            "the value".to_owned()
        } else {
            show(value)
        };
        format!("{shown} is not {}", self.noun())
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Switch => "a switch",
            Self::Count | Self::Between(..) => "a whole number",
            Self::Ratio => "a number",
            Self::Text => "text",
            Self::Filter => "a log filter",
            Self::Header | Self::HeaderNames => "a header name",
            Self::StaticHeaders => "a header",
            Self::ProxyUrl => "the URL of a backend",
            Self::Endpoint => "the URL of a collector",
            Self::OneOf(_) | Self::Choice(_) => "a choice here",
            Self::Origins => "an origin",
            Self::Secrets => "a secret",
            Self::NatsUrls => "a NATS URL",
            Self::Namespaces => "a list of namespaces",
            Self::Proxies => "a list of proxies",
            Self::Issuers => "a list of those who sign",
            Self::ApiKeys => "a list of keys",
            Self::Names => "a name",
            Self::Networks => "a network",
            Self::Nullable => "a section or null",
        }
    }

    /// What would be right.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Address => "an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000",
            Self::Duration => "a number with a unit, such as 25s or 1m 30s",
            Self::Size => "bytes, or a number with a unit such as 64KiB or 1MiB",
            Self::Switch => "true or false",
            Self::Count => "digits, such as 128",
            Self::Ratio => "such as 0.01",
            Self::Text | Self::Names | Self::Secrets => "text, in quotes if it looks like a number",
            Self::Filter => "a level such as info, or info,natter_gateway=debug",
            Self::Header | Self::HeaderNames => "such as x-user-id",
            Self::StaticHeaders => "such as \"X-Key: a-long-random-text\"",
            Self::ProxyUrl => "such as http://backend:3000/centrifugo, without credentials",
            Self::Endpoint => "such as http://collector:4318 or https://collector:4318, without credentials",
            Self::Origins => "\"*\" or scheme://host[:port] in lower case, such as https://chat.example or https://*.example",
            Self::NatsUrls => "nats://host:4222 or tls://host:4222",
            Self::Namespaces => "such as [{name: news, subscribe: anyone, publish: server}]",
            Self::Issuers => "such as [{name: backend, public_keys_file: /etc/natter/keys.pem}]",
            Self::Proxies => "such as [{name: backend, endpoint: http://backend:3000/centrifugo}]",
            Self::ApiKeys => "such as [{name: feeds, keys_file: /etc/natter/feeds.keys, methods: [publish]}]",
            Self::Networks => "an address with the length of its network, such as 10.0.0.0/8 or 192.0.2.1/32",
            Self::Nullable => "keys and values, or null",
            Self::Between(least, most) => return format!("{least} to {most}"),
            Self::OneOf(numbers) => return alternatives(numbers),
            Self::Choice(choices) => return alternatives(choices),
        }
        .to_owned()
    }

    /// The kind as the reference names it.
    pub(super) fn label(self) -> String {
        match self {
            Self::Address => "address",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Switch => "true or false",
            Self::Count => "integer",
            Self::Ratio => "number",
            Self::Text => "text",
            Self::Filter => "log filter",
            Self::Header => "header name",
            Self::HeaderNames => "list of header names",
            Self::StaticHeaders => "list of headers",
            Self::ProxyUrl | Self::Endpoint => "http or https URL",
            Self::Origins => "list of origins",
            Self::Secrets => "list of keys",
            Self::NatsUrls => "list of NATS URLs",
            Self::Names => "list of names",
            Self::Networks => "list of networks",
            Self::Namespaces | Self::Proxies | Self::Issuers | Self::ApiKeys => "list of sections",
            Self::Nullable => "section or null",
            Self::Between(least, most) => return format!("{least} to {most}"),
            Self::OneOf(numbers) => return alternatives(numbers),
            Self::Choice(choices) => return alternatives(choices),
        }
        .to_owned()
    }
}

fn alternatives(choices: &[impl ToString]) -> String {
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    match choices.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => choices.join(", "),
    }
}

/// A value as an error shows it.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > QUOTED => {
            format!("{:?}…", text.chars().take(QUOTED).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Bool(switch) => switch.to_string(),
        Value::Number(number) => number.to_string(),
        other => shape(other).to_owned(),
    }
}

/// A value's shape alone, for places where its text may be secret.
pub(super) fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a section",
        Value::Tagged(_) => "a tagged value",
    }
}

/// `EnvFilter` takes a bare word that is no level for a target, so that `inof` would silence the log; here it is refused.
/// Filters on fields (`[turn{room,user}]=debug`) have commas of their own and are left to `EnvFilter`.
fn is_filter(text: &str) -> bool {
    let named = |directive: &str| directive.contains(['=', '[', ':']);
    let level = |directive: &str| !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
    let clear = text.contains('{')
        || text
            .split(',')
            .map(str::trim)
            .all(|directive| named(directive) || level(directive));
    clear && EnvFilter::builder().parse(text).is_ok()
}

/// `*`, or `scheme://host[:port]`, where the host may start with `*.`. Lower case, as browsers send it (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let rest = rest.strip_prefix("*.").unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
        && !host.is_empty()
        && address.map_or(host.chars().all(name), |a| {
            a.parse::<std::net::Ipv6Addr>().is_ok()
        })
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0))
}

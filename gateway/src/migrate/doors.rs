//! Options that mean something only together: where the gateway listens, who may come in, what is behind it.

use std::net::{IpAddr, Ipv4Addr};

use serde_yaml_ng::Value;

use super::{outcome::Draft, proxies::Guard, source::Source, value};

/// Where Centrifugo finds NATS when nothing is written.
const NATS: &str = "nats://127.0.0.1:4222";

/// `guard` says whether a backend is asked about connections.
pub(super) fn convert(source: &Source, guard: Guard, checks_tokens: bool, draft: &mut Draft) {
    clients(source, guard, draft);
    listeners(source, guard, checks_tokens, draft);
    api(source, draft);
    bus(source, draft);
    log(source, draft);
}

/// Whether clients without a name may come in. Not where a backend judged them that cannot be asked.
fn lets_anybody_in(source: &Source, guard: Guard) -> bool {
    let is_open =
        source.flag("client.insecure") || source.flag("client.allow_anonymous_connect_without_token");
    is_open && guard != Guard::Lost
}

fn clients(source: &Source, guard: Guard, draft: &mut Draft) {
    const HEADER: &str = "client.user_id_http_header";
    let header = source.text(HEADER);
    if let Some(name) = header {
        draft.set("client.user_id_header", name.to_lowercase().into(), HEADER);
    }
    if lets_anybody_in(source, guard) {
        draft.set(
            "client.anonymous",
            "allow".into(),
            "client.allow_anonymous_connect_without_token",
        );
    } else if header.is_some() {
        draft.set("client.anonymous", "deny".into(), HEADER);
    }
}

fn listeners(source: &Source, guard: Guard, checks_tokens: bool, draft: &mut Draft) {
    const ADDRESS: &str = "http_server.address";
    let port = port(source, "http_server.port", draft).unwrap_or(8000);
    let mut ip = address(source, ADDRESS, draft).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let is_known = match guard {
        Guard::None => {
            checks_tokens
                || source.text("client.user_id_http_header").is_some()
                || lets_anybody_in(source, guard)
        }
        Guard::Asked => true,
        Guard::Lost => false,
    };
    if !ip.is_loopback() && !is_known {
        ip = Ipv4Addr::LOCALHOST.into();
        draft.leave_key(
            &source.written(ADDRESS),
            "kept to this machine: nothing that was converted says who the clients are; see `client` in docs/configuration.md",
        );
    }
    draft.set("listen", format!("{}:{port}", host(ip)).into(), ADDRESS);

    let inside = address(source, "http_server.internal_address", draft);
    let inside_port = self::port(source, "http_server.internal_port", draft);
    if inside.is_some() || inside_port.is_some() {
        let listen = format!("{}:{}", host(inside.unwrap_or(ip)), inside_port.unwrap_or(9000));
        draft.set("ops_listen", listen.into(), "http_server.internal_port");
    }
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn address(source: &Source, option: &str, draft: &mut Draft) -> Option<IpAddr> {
    let text = source.text(option)?;
    let ip = if text == "localhost" {
        Some(Ipv4Addr::LOCALHOST.into())
    } else {
        text.parse().ok()
    };
    if ip.is_none() {
        draft.leave(source.get(option)?, "not an IP address");
    }
    Some(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()))
}

fn port(source: &Source, option: &str, draft: &mut Draft) -> Option<u16> {
    let entry = source.get(option)?;
    if value::is_off(&entry.value) {
        return None;
    }
    let port = value::number(&entry.value).and_then(|port| u16::try_from(port).ok());
    if port.is_none() {
        draft.leave(entry, "not a port");
    }
    port
}

fn api(source: &Source, draft: &mut Draft) {
    let Some(key) = source.get("http_api.key") else {
        return;
    };
    match key.value.as_str() {
        _ if source.flag("http_api.disabled") => draft.spare(key, "the API is off"),
        None | Some("") => draft.spare(key, "no key: the API is off"),
        Some(text) => draft.set("api.keys", vec![Value::from(text)].into(), &key.written),
    }
}

fn bus(source: &Source, draft: &mut Draft) {
    let is_on = source.get("broker.enabled").is_none() || source.flag("broker.enabled");
    let kind = source.get("broker.type");
    let is_nats = is_on && kind.is_some_and(|kind| value::shows(&kind.value, "nats"));
    for (option, key) in [
        ("broker.nats.url", "bus.nats.servers"),
        ("broker.nats.prefix", "bus.prefix"),
    ] {
        match source.get(option) {
            Some(entry) if !is_nats => draft.spare(entry, "NATS is not the broker"),
            Some(entry) if key == "bus.prefix" => draft.set(key, entry.value.clone(), &entry.written),
            _ => {}
        }
    }
    if is_nats {
        let urls = source.text("broker.nats.url").unwrap_or(NATS).split(',');
        let servers: Vec<Value> = urls.map(|url| url.trim().into()).collect();
        draft.set("bus.nats.servers", servers.into(), "broker.nats.url");
    }
    if let Some(kind) = kind
        && is_on
        && !is_nats
        && !value::shows(&kind.value, "memory")
        && !value::is_off(&kind.value)
    {
        draft.leave(kind, "rooms are bridged over NATS: write bus.nats.servers");
    }
}

fn log(source: &Source, draft: &mut Draft) {
    let Some(entry) = source.get("log.level") else {
        return;
    };
    let level = match entry.value.as_str() {
        Some(level @ ("trace" | "debug" | "info" | "warn" | "error")) => level,
        Some("fatal") => "error",
        Some("none") => "off",
        _ => return draft.leave(entry, "not a level"),
    };
    draft.set("log.level", level.into(), &entry.written);
}

//! Namespaces: many switches of Centrifugo become one word about who may do what.

use serde_yaml_ng::Value;

use super::{
    outcome::Draft,
    proxies::{Choice, Guard, Proxies, switch},
    source::Source,
    value::{self, Form},
};
use crate::permission::Expression;

const WITHOUT_NAMESPACE: &str = "channel.without_namespace";

/// `proxies` has those that can be asked.
pub(super) fn convert(source: &Source, proxies: &Proxies, draft: &mut Draft) {
    // Always written: what the gateway allows by default is more than what Centrifugo does.
    room(
        &Room::new(source, WITHOUT_NAMESPACE.to_owned()),
        "rooms.default",
        proxies,
        draft,
    );
    let mut taken: Vec<String> = Vec::new();
    for index in 0..source.length("channel.namespaces") {
        let from = Room::new(source, format!("channel.namespaces[{index}]"));
        let name = source.text(&from.option("name")).unwrap_or_default().to_owned();
        if let Some(why) = unfit(&name, &taken) {
            draft.leave_key(&from.written("name"), why);
            continue;
        }
        let to = format!("rooms.namespaces[{}]", taken.len());
        draft.set(&format!("{to}.name"), name.as_str().into(), &from.written("name"));
        taken.push(name);
        room(&from, &to, proxies, draft);
    }
}

/// Why a namespace cannot be had by this name.
fn unfit(name: &str, taken: &[String]) -> Option<&'static str> {
    if !value::is_name(name) {
        Some("the namespace is left out: its name must be of 1 to 64 letters, digits, _ or -")
    } else if name == "default" {
        Some("the namespace is left out: `default` is the policy of rooms without one")
    } else if taken.iter().any(|other| other == name) {
        Some("the namespace is left out: its name is there twice")
    } else {
        None
    }
}

/// A namespace of Centrifugo, or the options of channels without one.
struct Room<'a> {
    source: &'a Source,
    path: String,
    is_insecure: bool,
}

impl<'a> Room<'a> {
    fn new(source: &'a Source, path: String) -> Self {
        Self {
            source,
            path,
            is_insecure: source.flag("client.insecure"),
        }
    }

    fn option(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn flag(&self, name: &str) -> bool {
        self.source.flag(&self.option(name))
    }

    /// The option as the file has it.
    fn written(&self, name: &str) -> String {
        self.source.written(&self.option(name))
    }

    /// Who may, by the switches `allow_<what>_for_client`, `…_subscriber` and `…_anonymous`; the error says what cannot be said.
    fn who(&self, what: &str, subscribe: &str) -> Result<&'static str, &'static str> {
        let for_whom = |whom: &str| self.flag(&format!("allow_{what}_for_{whom}"));
        match (for_whom("client"), for_whom("subscriber"), for_whom("anonymous")) {
            _ if self.is_insecure => Ok("anyone"),
            (true, _, true) => Ok("anyone"),
            (true, _, false) => Ok("users"),
            (false, true, false) if subscribe == "anyone" => {
                Err("members without a user id would be among the subscribers; written as `server`")
            }
            (false, true, _) => Ok("subscribers"),
            // There, too, tokens and capabilities open what nothing else does.
            (false, false, _) => Ok("token"),
        }
    }
}

fn room(from: &Room<'_>, to: &str, proxies: &Proxies, draft: &mut Draft) {
    let has_stream = stream(from, draft);
    let subscribe = match asked(from, to, "subscribe", proxies, draft) {
        Guard::Asked => "anyone",
        Guard::None if !has_stream => from.who("subscribe", "").unwrap_or("server"),
        Guard::None | Guard::Lost => "server",
    };
    let path = format!("{to}.subscribe");
    let option = from.written("allow_subscribe_for_client");
    permit(from, "subscribe", (&path, subscribe), &option, draft);
    let publish = match asked(from, to, "publish", proxies, draft) {
        Guard::Asked => "anyone",
        Guard::None if !has_stream => who_or_server(from, "publish", subscribe, draft),
        Guard::None | Guard::Lost => "server",
    };
    let path = format!("{to}.publish");
    let option = from.written("allow_publish_for_client");
    permit(from, "publish", (&path, publish), &option, draft);
    asked(from, to, "sub_refresh", proxies, draft);
    payload(from, to, draft);
    history(from, to, subscribe, draft);
    deliveries(from, to, draft);
    presence(from, to, subscribe, draft);
}

/// Writes who may, at `path`, and the expression that lets others: there it adds to the switches, here it says all of it.
fn permit(from: &Room<'_>, what: &str, (path, who): (&str, &str), option: &str, draft: &mut Draft) {
    let name = format!("{what}_cel");
    let entry = from.source.get(&from.option(&name));
    let written = entry
        .and_then(|entry| entry.value.as_str())
        .filter(|text| !text.is_empty());
    let (Some(entry), Some(text)) = (entry, written) else {
        return draft.set(path, who.into(), option);
    };
    let all = match who {
        "users" => format!("user != '' || ({text})"),
        "subscribers" => format!("subscribed || ({text})"),
        "token" => text.to_owned(),
        "anyone" => {
            draft.spare(entry, "anyone may, or a proxy judges everyone");
            return draft.set(path, who.into(), option);
        }
        _ => {
            draft.leave(entry, "what it opens is closed: written as `server`");
            return draft.set(path, who.into(), option);
        }
    };
    if let Err(error) = Expression::new(&all) {
        draft.leave(entry, &error.to_string());
        return draft.set(path, who.into(), option);
    }
    let room = path
        .strip_suffix(".history.read")
        .or_else(|| Some(path.rsplit_once('.')?.0));
    draft.set(path, "token".into(), option);
    draft.set(
        &format!("{}.{name}", room.unwrap_or(path)),
        all.into(),
        &entry.written,
    );
}

fn presence(from: &Room<'_>, to: &str, subscribe: &str, draft: &mut Draft) {
    let is_told = from.flag("join_leave");
    for (option, is_on) in [
        ("presence", from.flag("presence")),
        ("join_leave", is_told),
        (
            "force_push_join_leave",
            is_told && from.flag("force_push_join_leave"),
        ),
    ] {
        if is_on {
            draft.set(&format!("{to}.{option}"), true.into(), &from.written(option));
        }
    }
    if from.flag("presence") {
        let read = who_or_server(from, "presence", subscribe, draft);
        let option = from.written("allow_presence_for_subscriber");
        let path = format!("{to}.presence_read");
        permit(from, "presence", (&path, read), &option, draft);
    } else if let Some(entry) = from.source.get(&from.option("presence_cel")) {
        draft.spare(entry, "presence is off");
    }
}

/// Writes which proxy is asked. There it alone decides, here it is asked about what the policy permits.
fn asked(from: &Room<'_>, to: &str, what: &str, proxies: &Proxies, draft: &mut Draft) -> Guard {
    let enabled = from.option(&format!("{what}_proxy_enabled"));
    let named_by = from.option(&format!("{what}_proxy_name"));
    let choice = Choice {
        switch: switch(from.source, &enabled, &named_by),
        named_by: &named_by,
        unnamed: what,
        key: &format!("{to}.{what}_proxy"),
        otherwise: if what == "sub_refresh" {
            "no such proxy was converted: nobody renews what expires"
        } else {
            "no such proxy was converted; written as `server`"
        },
    };
    proxies.choose(from.source, draft, &choice)
}

/// Whether a backend lets members in and takes what they say over a stream, unless another one is asked: there is none here.
fn stream(from: &Room<'_>, draft: &mut Draft) -> bool {
    let enabled = from.option("subscribe_stream_proxy_enabled");
    let named_by = from.option("subscribe_stream_proxy_name");
    let switch = switch(from.source, &enabled, &named_by);
    for option in [enabled.as_str(), &named_by] {
        match from.source.get(option) {
            Some(entry) if switch == Some(option) => {
                draft.leave(
                    entry,
                    "a backend publishes by the server API; what it guarded is `server`",
                );
            }
            Some(entry) => draft.spare(entry, "says which proxy, where one is enabled"),
            None => {}
        }
    }
    switch.is_some()
}

/// What members may ask to be given.
fn deliveries(from: &Room<'_>, to: &str, draft: &mut Draft) {
    if from.flag("allow_tags_filter") {
        let option = from.written("allow_tags_filter");
        draft.set(&format!("{to}.tags_filter"), true.into(), &option);
    }
    let Some(deltas) = from.source.get(&from.option("allowed_delta_types")) else {
        return;
    };
    for kind in value::list(&deltas.value).unwrap_or_default() {
        if kind == "fossil" {
            draft.set(&format!("{to}.delta"), "fossil".into(), &deltas.written);
        } else {
            draft.leave(deltas, "differences are Fossil's");
        }
    }
}

fn who_or_server(from: &Room<'_>, what: &str, subscribe: &str, draft: &mut Draft) -> &'static str {
    from.who(what, subscribe).unwrap_or_else(|why| {
        draft.leave_key(&from.written(&format!("allow_{what}_for_subscriber")), why);
        "server"
    })
}

fn payload(from: &Room<'_>, to: &str, draft: &mut Draft) {
    const FORMAT: &str = "publication_data_format";
    let own = from.source.text(&from.option(FORMAT));
    let format = own.or_else(|| from.source.text("channel.publication_data_format"));
    match format {
        None | Some("json") => {}
        Some("binary") => draft.set(&format!("{to}.payload"), "binary".into(), &from.written(FORMAT)),
        Some("json_object") => {
            draft.leave_key(
                &from.written(FORMAT),
                "messages are held to be JSON, but not to be objects",
            );
        }
        Some(_) => draft.leave_key(&from.written(FORMAT), "not json, json_object or binary"),
    }
}

fn history(from: &Room<'_>, to: &str, subscribe: &str, draft: &mut Draft) {
    let is_set = |name: &str| {
        let entry = from.source.get(&from.option(name))?;
        (!value::is_off(&entry.value)).then_some(entry)
    };
    let (Some(size), Some(ttl)) = (is_set("history_size"), is_set("history_ttl")) else {
        return spare_history(from, draft);
    };
    for (entry, key, form) in [(size, "size", Form::Number), (ttl, "ttl", Form::Duration)] {
        match form.read(&entry.value) {
            Ok(value) => draft.set(&format!("{to}.history.{key}"), value, &entry.written),
            Err(expected) => draft.leave(entry, &format!("not {expected}")),
        }
    }
    let mut read = who_or_server(from, "history", subscribe, draft);
    if matches!(read, "server" | "token") && (from.flag("allow_recovery") || from.flag("allow_positioning")) {
        read = "subscribers";
    }
    let path = format!("{to}.history.read");
    let option = from.written("allow_history_for_subscriber");
    permit(from, "history", (&path, read), &option, draft);
    for name in ["force_recovery", "force_positioning"] {
        if from.flag(name) {
            draft.set(
                &format!("{to}.history.{name}"),
                Value::from(true),
                &from.written(name),
            );
        }
    }
    match from.source.text(&from.option("force_recovery_mode")) {
        None => {}
        Some(mode @ ("stream" | "cache")) => {
            draft.set(
                &format!("{to}.history.recovery_mode"),
                mode.into(),
                &from.written("force_recovery_mode"),
            );
        }
        Some(_) => draft.leave_key(&from.written("force_recovery_mode"), "not stream or cache"),
    }
}

/// Options that mean nothing where nothing is kept.
fn spare_history(from: &Room<'_>, draft: &mut Draft) {
    for name in [
        "history_size",
        "history_ttl",
        "force_recovery",
        "force_positioning",
        "force_recovery_mode",
        "history_cel",
    ] {
        if let Some(entry) = from.source.get(&from.option(name)) {
            draft.spare(
                entry,
                "nothing is kept unless both history_size and history_ttl are set",
            );
        }
    }
}

//! The users of NATS that a configuration needs, with the least that they must be permitted: for the configuration of
//! `nats-server`, for tools as JSON, and as the tables of `docs/nats-permissions.md`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    bus::{Duties, Permissions, Right, UserRights},
    config::{HistoryOptions, Settings, StreamOptions},
    history::HistoryPolicy,
    namespace::durable_policies,
};

/// How long, and how often, a gateway may answer who asked it.
const ANSWERS: u32 = 1;
const ANSWER_SECONDS: u32 = 60;

/// The duties of the gateways in the tables.
const SERVES_API: Duties = Duties {
    manage_streams: false,
    serve_api: true,
};

/// What is said first, by whom it holds for.
const THESE_NAMESPACES: &str = "\
# Written by natter-gateway nats-permissions: write it again when the prefix, a durable namespace or its
# partitions change.
";
const ANY_NAMESPACES: &str = "\
# Written by natter-gateway nats-permissions --any-namespaces: for one prefix, whatever its namespaces are.
";

const BEGIN: &str = "<!-- begin: natter-gateway nats-permissions -->\n";
const END: &str = "<!-- end: natter-gateway nats-permissions -->";

/// What the users of a configuration need.
pub fn of(settings: &Settings) -> Permissions {
    let durable = durable_policies(&settings.rooms);
    let nats = settings.bus.nats.as_ref();
    let duties = Duties {
        manage_streams: nats.is_none_or(|nats| nats.manage_streams),
        serve_api: settings.api.nats,
    };
    Permissions::new(&settings.bus.prefix, &durable, duties)
}

/// A block for the configuration of `nats-server`, or of one of its accounts. The passwords are variables of its environment.
pub fn nats_conf(permissions: &Permissions) -> String {
    let head = if permissions.any_namespaces {
        ANY_NAMESPACES
    } else {
        THESE_NAMESPACES
    };
    let mut text = format!("{head}users: [\n");
    for (user, variable, rights) in [
        ("gateway", "NATTER_GATEWAY_PASSWORD", &permissions.gateway),
        ("admin", "NATTER_ADMIN_PASSWORD", &permissions.admin),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  {{\n    user: {user}\n    password: ${variable}\n    permissions: {{\n{}{}{}    }}\n  }}\n",
            allowed("publish", &rights.publish),
            allowed("subscribe", &rights.subscribe),
            answers(rights)
        );
    }
    text + "]\n"
}

fn allowed(what: &str, rights: &[Right]) -> String {
    let mut text = format!("      {what}: {{ allow: [\n");
    for right in rights {
        let _ = writeln!(text, "        {}", Value::from(subject(right)));
    }
    text + "      ] }\n"
}

fn answers(rights: &UserRights) -> String {
    if rights.answers {
        format!("      allow_responses: {{ max: {ANSWERS}, expires: \"{ANSWER_SECONDS}s\" }}\n")
    } else {
        String::new()
    }
}

/// As the configuration of `nats-server` and the JWT of a user write it.
fn subject(right: &Right) -> String {
    match right.group {
        Some(group) => format!("{} {group}", right.subject),
        None => right.subject.clone(),
    }
}

/// The same for tools: subjects that may be published and subscribed, by user, as claims of a user's JWT have them.
pub fn json(permissions: &Permissions) -> Value {
    let user = |rights: &UserRights| {
        let subjects = |rights: &[Right]| -> Value { rights.iter().map(subject).collect() };
        let mut user = json!({
            "pub": { "allow": subjects(&rights.publish) },
            "sub": { "allow": subjects(&rights.subscribe) },
        });
        if rights.answers {
            // Nanoseconds.
            user["resp"] = json!({ "max": ANSWERS, "ttl": u64::from(ANSWER_SECONDS) * 1_000_000_000 });
        }
        user
    };
    json!({ "gateway": user(&permissions.gateway), "admin": user(&permissions.admin) })
}

/// The document with fresh tables between its two marks; `None` without the marks.
pub fn rewrite_tables(document: &str) -> Option<String> {
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{}\n{END}{tail}", tables()))
}

/// For the default prefix, one durable namespace of one partition and the server API over NATS.
fn tables() -> String {
    let chat = HistoryPolicy {
        namespace: "chat".into(),
        options: HistoryOptions {
            stream: StreamOptions {
                partitions: Some(1),
                ..StreamOptions::default()
            },
            ..HistoryOptions::default()
        },
    };
    let permissions = Permissions::new("natter", &[chat], SERVES_API);
    let mut text = String::from("| user | may | subject | needed for |\n|---|---|---|---|\n");
    for (user, rights) in [("gateway", &permissions.gateway), ("admin", &permissions.admin)] {
        for (may, rights) in [("publish", &rights.publish), ("subscribe", &rights.subscribe)] {
            for right in rights {
                let group = right
                    .group
                    .map_or_else(String::new, |group| format!(" (queue group `{group}`)"));
                let _ = writeln!(
                    text,
                    "| {user} | {may} | `{}`{group} | {} |",
                    right.subject, right.purpose
                );
            }
        }
        if rights.answers {
            let _ = writeln!(
                text,
                "| {user} | answer | whoever asked it, once | calls of the server API |"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_tables_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/nats-permissions.md");
        let document = std::fs::read_to_string(path).unwrap();
        let fresh = rewrite_tables(&document).unwrap();
        assert_eq!(
            document, fresh,
            "run: cargo run -p natter-gateway -- nats-permissions --tables docs/nats-permissions.md"
        );
    }

    #[test]
    fn the_users_are_as_nats_wants_them() {
        let permissions = Permissions::new("n", &[], SERVES_API);
        let conf = nats_conf(&permissions);
        for line in [
            "    user: gateway\n    password: $NATTER_GATEWAY_PASSWORD\n",
            "        \"n.eph.0.*\"\n",
            "        \"n.api.* gateways\"\n",
            "      allow_responses: { max: 1, expires: \"60s\" }\n",
            "        \"$JS.API.STREAM.CREATE.*\"\n",
        ] {
            assert!(conf.contains(line), "{line} is not in {conf}");
        }
        let again = "write it again when the prefix, a durable namespace";
        let any = nats_conf(&Permissions::of_any_namespaces("n"));
        assert!(conf.contains(again) && !any.contains(again) && any.contains("whatever its namespaces are"));
        let users = json(&permissions);
        assert_eq!(users["gateway"]["resp"]["ttl"], 60_000_000_000_u64);
        assert_eq!(users["admin"]["sub"]["allow"], json!(["n.admin.inbox.>"]));
        let quiet = Permissions::new("n", &[], Duties::default());
        assert!(!nats_conf(&quiet).contains("allow_responses") && json(&quiet)["gateway"]["resp"].is_null());
    }
}

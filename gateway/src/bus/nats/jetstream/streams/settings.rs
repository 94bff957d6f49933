//! The settings of one stream: what a policy wants, and what that means for a stream that exists.
//!
//! Settings are compared and changed as the server's own JSON, so that what a newer server or an administrator has set
//! beside ours stays untouched.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Subjects, partition::stable_hash};
use crate::{
    config::{Discard, Storage},
    history::HistoryPolicy,
};

/// Metadata key of the number of partitions.
const PARTITIONS: &str = "natter-partitions";

/// Metadata key of how often the stream has lost its end.
const GENERATION: &str = "natter-generation";

/// Metadata key of the settings' hash.
const STAMP: &str = "natter-settings";

/// Settings that a stream keeps for life.
const FIXED: [&str; 3] = ["storage", "retention", "sealed"];

/// Settings without which no gateway can use the stream, whatever its configuration says.
const NEEDED: [&str; 6] = [
    "subjects",
    "subject_transform",
    "republish",
    "allow_direct",
    "no_ack",
    "sealed",
];

pub(super) struct Wanted {
    config: Map<String, Value>,
}

/// What brings a managed stream in line.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    None,
    Update {
        config: Map<String, Value>,
        /// The settings that differ.
        names: Vec<String>,
    },
    /// Settings that cannot be changed differ.
    Impossible(Vec<String>),
}

impl Wanted {
    pub(super) fn new(policy: &HistoryPolicy, subjects: &Subjects, partition: u16, partitions: u16) -> Self {
        let options = &policy.options;
        let storage = match options.stream.storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        };
        let discard = match options.stream.discard {
            Discard::Old => "old",
            Discard::New => "new",
        };
        let stored = subjects.all_stored(&policy.namespace, partition);
        let mut config = json!({
            "name": subjects.stream(&policy.namespace, partition),
            "subjects": [stored],
            "retention": "limits",
            "storage": storage,
            "num_replicas": options.stream.replicas,
            "max_msgs_per_subject": options.size,
            "max_age": nanos(options.ttl),
            "max_bytes": options.stream.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            "max_msgs": -1,
            "discard": discard,
            "discard_new_per_subject": false,
            "duplicate_window": nanos(options.idempotency_window),
            "allow_direct": true,
            "no_ack": false,
            "sealed": false,
            "subject_transform": null,
            "republish": {
                "src": stored,
                "dest": subjects.all_live(&policy.namespace, partition),
            },
            "metadata": { PARTITIONS: partitions.to_string() },
        });
        // Keys are sorted: equal settings have an equal text.
        config["metadata"][STAMP] = stamp(&config.to_string()).into();
        let Value::Object(config) = config else {
            return Self { config: Map::new() };
        };
        Self { config }
    }

    pub(super) fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// Whether a gateway with other settings has brought the stream in line with them.
    pub(super) fn is_superseded(&self, found: &Map<String, Value>) -> bool {
        let stamp = |config: &Map<String, Value>| config.get("metadata")?.get(STAMP).cloned();
        stamp(found).is_some_and(|found| Some(found) != stamp(&self.config))
    }

    /// What makes the stream as it is configured here.
    pub(super) fn change(&self, found: &Map<String, Value>) -> Change {
        self.compare(found, |_| true)
    }

    /// What makes it usable.
    pub(super) fn repair(&self, found: &Map<String, Value>) -> Change {
        self.compare(found, |name| NEEDED.contains(&name))
    }

    fn compare(&self, found: &Map<String, Value>, matters: impl Fn(&str) -> bool) -> Change {
        let mut config = found.clone();
        let mut impossible = Vec::new();
        let mut names = Vec::new();
        for (name, wanted) in self.config.iter().filter(|(name, _)| matters(name)) {
            let current = found.get(name);
            if same(name, current, wanted) {
                continue;
            }
            if FIXED.contains(&name.as_str()) {
                impossible.push(format!("{} and cannot be changed", needs(name, current, wanted)));
            }
            names.push(name.clone());
            match (config.get_mut(name), wanted) {
                (Some(Value::Object(current)), Value::Object(wanted)) if name == "metadata" => {
                    current.extend(wanted.clone());
                }
                _ => drop(config.insert(name.clone(), wanted.clone())),
            }
        }
        match (names.is_empty(), impossible.is_empty()) {
            (true, _) => Change::None,
            (false, true) => Change::Update { config, names },
            (false, false) => Change::Impossible(impossible),
        }
    }

    /// What is promised to clients and does not hold on a stream that somebody else owns. More than promised is right.
    pub(super) fn broken_promises(&self, found: &Map<String, Value>) -> Vec<String> {
        self.config
            .iter()
            .filter_map(|(name, wanted)| {
                let current = found.get(name);
                let kept = match name.as_str() {
                    "name"
                    | "metadata"
                    | "max_bytes"
                    | "max_msgs"
                    | "discard"
                    | "discard_new_per_subject" => true,
                    "subjects" => holds_all(current, wanted),
                    "max_msgs_per_subject" | "max_age" => unlimited(current) || at_least(current, wanted),
                    "duplicate_window" | "num_replicas" => at_least(current, wanted),
                    _ => same(name, current, wanted),
                };
                (!kept).then(|| needs(name, current, wanted))
            })
            .collect()
    }
}

/// The number of partitions that a stream's metadata names.
pub(super) fn partitions(config: &Map<String, Value>) -> Option<u16> {
    config
        .get("metadata")?
        .get(PARTITIONS)?
        .as_str()?
        .parse()
        .ok()
        .filter(|&count| count > 0)
}

/// The generation that a stream's metadata names.
pub(super) fn generation(config: &Map<String, Value>) -> u64 {
    let generation = config
        .get("metadata")
        .and_then(|metadata| metadata.get(GENERATION))
        .and_then(Value::as_str);
    generation
        .and_then(|generation| generation.parse().ok())
        .unwrap_or(0)
}

/// The metadata of a stream that has no settings to be brought in line with, but is a gateway's.
pub(super) fn made_by_a_gateway() -> Value {
    json!({ STAMP: "none" })
}

/// Whether a gateway has brought the stream in line at some time.
pub(super) fn is_stamped(config: &Map<String, Value>) -> bool {
    config
        .get("metadata")
        .is_some_and(|metadata| metadata.get(STAMP).is_some())
}

/// The same settings in another generation.
pub(super) fn with_generation(config: &Map<String, Value>, generation: u64) -> Map<String, Value> {
    let mut config = config.clone();
    let metadata = config.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        metadata.insert(GENERATION.to_owned(), generation.to_string().into());
    }
    config
}

fn stamp(settings: &str) -> String {
    format!("{:016x}", stable_hash([settings.as_bytes()]))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A server leaves out what is false, and adds to metadata and `republish` what it likes.
fn same(name: &str, found: Option<&Value>, wanted: &Value) -> bool {
    match (found, wanted) {
        (None, Value::Bool(wanted)) => !wanted,
        (None, Value::Null) => true,
        (Some(Value::Object(found)), Value::Object(wanted)) => {
            let bodies = name != "republish" || found.get("headers_only") != Some(&Value::Bool(true));
            bodies && wanted.iter().all(|(key, value)| found.get(key) == Some(value))
        }
        (found, wanted) => found == Some(wanted),
    }
}

fn holds_all(found: Option<&Value>, wanted: &Value) -> bool {
    let (Some(Value::Array(found)), Value::Array(wanted)) = (found, wanted) else {
        return false;
    };
    wanted.iter().all(|subject| found.contains(subject))
}

fn unlimited(found: Option<&Value>) -> bool {
    found.and_then(Value::as_i64).unwrap_or(0) <= 0
}

fn at_least(found: Option<&Value>, wanted: &Value) -> bool {
    found.and_then(Value::as_u64) >= wanted.as_u64()
}

fn needs(name: &str, found: Option<&Value>, wanted: &Value) -> String {
    match found {
        Some(found) => format!("{name} is {found}, needs {wanted}"),
        None => format!("{name} is missing, needs {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HistoryOptions;

    fn wanted() -> Wanted {
        let policy = HistoryPolicy {
            namespace: "chat".into(),
            options: HistoryOptions::default(),
        };
        Wanted::new(&policy, &Subjects::new("n"), 1, 4)
    }

    fn with(changes: Value) -> Map<String, Value> {
        let mut config = wanted().config.clone();
        let Value::Object(changes) = changes else { panic!() };
        config.extend(changes);
        config
    }

    #[test]
    fn a_stream_in_line_is_left_alone_whatever_else_it_has() {
        let found = with(json!({
            "placement": { "cluster": "east" },
        }));
        let mut found = found;
        found["metadata"]["_nats.req.level"] = "0".into();
        found.remove("sealed");
        found.remove("subject_transform");
        assert_eq!(wanted().change(&found), Change::None);
        assert_eq!(partitions(&found), Some(4));
        assert_eq!(generation(&found), 0);
        assert_eq!(generation(&with_generation(&found, 2)), 2);
        assert_eq!(
            generation(&with_generation(&Map::new(), 1)),
            1,
            "without other metadata"
        );
    }

    #[test]
    fn what_can_be_changed_is_and_the_rest_stays() {
        let found = with(json!({
            "placement": { "cluster": "east" },
            "max_msgs_per_subject": 7,
            "metadata": { "owner": "me" },
            "allow_direct": false,
        }));
        let Change::Update { config, names } = wanted().change(&found) else {
            panic!()
        };
        assert_eq!(names, ["allow_direct", "max_msgs_per_subject", "metadata"]);
        assert_eq!(config["max_msgs_per_subject"], 100);
        assert_eq!(config["allow_direct"], true);
        assert_eq!(config["placement"], json!({ "cluster": "east" }));
        let mut metadata = wanted().config["metadata"].clone();
        metadata["owner"] = "me".into();
        assert_eq!(config["metadata"], metadata);
    }

    /// In a roll old gateways leave the limits of the new ones alone, but nobody leaves a stream without live copies.
    #[test]
    fn the_settings_of_a_gateway_that_started_later_stay() {
        let policy = HistoryPolicy {
            namespace: "chat".into(),
            options: HistoryOptions {
                size: 7,
                ..HistoryOptions::default()
            },
        };
        let mut found = Wanted::new(&policy, &Subjects::new("n"), 1, 4).config;
        assert!(wanted().is_superseded(&found));
        assert_eq!(wanted().repair(&found), Change::None);
        found.remove("republish");
        let Change::Update { config, names } = wanted().repair(&found) else {
            panic!()
        };
        assert_eq!(names, ["republish"]);
        assert_eq!(config["max_msgs_per_subject"], 7);
        assert_eq!(config["metadata"], found["metadata"]);
        assert!(!wanted().is_superseded(&wanted().config), "its own stamp");
        found.remove("metadata");
        assert!(!wanted().is_superseded(&found), "taken away by hand");
    }

    #[test]
    fn what_cannot_be_changed_is_named() {
        let found = with(json!({ "storage": "memory", "max_age": 1 }));
        let differences = [r#"storage is "memory", needs "file" and cannot be changed"#.to_owned()];
        assert_eq!(wanted().change(&found), Change::Impossible(differences.into()));
    }

    #[test]
    fn an_administrators_stream_may_keep_more_but_not_less() {
        let more = with(json!({
            "subjects": ["other", "n.msg.chat.1.>"],
            "max_msgs_per_subject": -1,
            "max_age": 0,
            "num_replicas": 3,
            "max_bytes": 5,
            "metadata": {},
        }));
        assert_eq!(wanted().broken_promises(&more), Vec::<String>::new());
        let less = with(json!({
            "subjects": ["n.msg.chat.0.>"],
            "max_msgs_per_subject": 10,
            "allow_direct": false,
            "no_ack": true,
            "republish": { "src": "n.msg.chat.1.>", "dest": "n.live.chat.1.>", "headers_only": true },
        }));
        let broken = wanted().broken_promises(&less).join("; ");
        for part in [
            "allow_direct is false",
            "max_msgs_per_subject is 10, needs 100",
            "no_ack is true",
            "republish is",
            "subjects is",
        ] {
            assert!(broken.contains(part), "{part} is not in {broken}");
        }
    }
}

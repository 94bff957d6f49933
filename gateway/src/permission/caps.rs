//! Capabilities of a connection, as tokens and backends write them:
//! `[{"channels": ["news:*"], "match": "wildcard", "allow": ["sub"]}]`.
//!
//! Whatever is not understood opens nothing, and the rest holds: a token that says more than this gateway knows, or whose
//! issuer uses the claim for something else, is a token still.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Allow, Operation, pattern::Pattern};
use crate::glob;

/// Capabilities of one connection, and names and patterns in all of them.
const MAX_CAPS: usize = 32;
const MAX_CHANNELS: usize = 128;
/// Longest name or pattern in bytes.
const MAX_LENGTH: usize = 512;

/// What a connection may do in which rooms. In no order: each only adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Caps {
    caps: Box<[Cap]>,
    /// What was not understood first.
    fault: Option<Fault>,
}

/// Why some of what is written opens nothing. The texts are for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no list of capabilities")]
    Shape,
    #[error("more than 32 capabilities or 128 channels")]
    TooMany,
    #[error("a channel of more than 512 bytes, or none")]
    Channel,
    #[error("a regular expression that is none, or becomes too large")]
    Pattern,
    #[error("a word of `match` that is not known")]
    Match,
    #[error("a word of `allow` that is not known")]
    Allow,
}

#[derive(Debug, PartialEq, Eq)]
struct Cap {
    rooms: Named,
    allow: Allow,
}

/// How rooms are named.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Exactly(Box<[Box<str>]>),
    Wildcard(Box<[Box<str>]>),
    Regex(Box<[Pattern]>),
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    channels: Vec<Box<str>>,
    #[serde(default, rename = "match")]
    by: Option<String>,
    #[serde(default)]
    allow: Option<Allow>,
}

impl Caps {
    /// Reads what is written.
    pub fn read(text: &RawValue) -> Self {
        let Ok(written) = serde_json::from_str::<Option<Vec<Written>>>(text.get()) else {
            return Self::void(Fault::Shape);
        };
        let written = written.unwrap_or_default();
        let channels: usize = written.iter().map(|cap| cap.channels.len()).sum();
        if written.len() > MAX_CAPS || channels > MAX_CHANNELS {
            return Self::void(Fault::TooMany);
        }
        let mut fault = None;
        let mut note = |found: Fault| {
            fault.get_or_insert(found);
        };
        let caps = written.into_iter().filter_map(|cap| match Cap::new(cap) {
            Ok(cap) => {
                if cap.allow.has_unknown() {
                    note(Fault::Allow);
                }
                Some(cap)
            }
            Err(found) => {
                note(found);
                None
            }
        });
        Self {
            caps: caps.collect(),
            fault,
        }
    }

    fn void(fault: Fault) -> Self {
        Self {
            caps: Box::default(),
            fault: Some(fault),
        }
    }

    /// Whether one of them opens the room to this.
    pub fn allow(&self, operation: Operation, channel: &str) -> bool {
        let caps = self.caps.iter().filter(|cap| cap.allow.includes(operation));
        caps.into_iter().any(|cap| cap.names(channel))
    }

    /// What was not understood of them.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub fn is_empty(&self) -> bool {
        self.caps.is_empty()
    }
}

impl Cap {
    fn new(written: Written) -> Result<Self, Fault> {
        let by = written.by.as_deref().unwrap_or_default();
        if !["", "wildcard", "regex"].contains(&by) {
            return Err(Fault::Match);
        }
        let fits = |channel: &str| !channel.is_empty() && channel.len() <= MAX_LENGTH;
        if !written.channels.iter().all(|channel| fits(channel)) {
            return Err(Fault::Channel);
        }
        let rooms = match by {
            "regex" => {
                let patterns = written.channels.iter().map(|channel| Pattern::read(channel));
                Named::Regex(patterns.collect::<Option<_>>().ok_or(Fault::Pattern)?)
            }
            "wildcard" => Named::Wildcard(written.channels.into()),
            _ => Named::Exactly(written.channels.into()),
        };
        Ok(Self {
            rooms,
            allow: written.allow.unwrap_or_default(),
        })
    }

    fn names(&self, room: &str) -> bool {
        match &self.rooms {
            Named::Exactly(names) => names.iter().any(|name| **name == *room),
            Named::Wildcard(globs) => globs.iter().any(|glob| glob::matches(glob, room)),
            Named::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_found(room)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn caps(written: &Value) -> Caps {
        Caps::read(&RawValue::from_string(written.to_string()).unwrap())
    }

    fn opened(caps: &Caps, channel: &str) -> Vec<&'static str> {
        let opens = |operation: &Operation| caps.allow(*operation, channel);
        (Operation::ALL.into_iter().filter(opens).map(Operation::label)).collect()
    }

    #[test]
    fn each_adds_to_the_others() {
        let caps = caps(&json!([
            { "channels": ["news", "user_42"], "allow": ["sub"] },
            { "channels": ["user_42"], "allow": ["pub", "hst", "prs"] },
            { "channels": ["news:*"], "match": "wildcard", "allow": ["sub"] },
            { "channels": [r"^posts_[\d]+$", "^news:.*$"], "match": "regex", "allow": ["hst"] },
            { "channels": ["exact*"], "match": "", "allow": ["pub"] },
        ]));
        assert_eq!(caps.fault(), None);
        for (channel, expected) in [
            ("news", vec!["subscribe"]),
            ("user_42", vec!["subscribe", "publish", "presence", "history"]),
            ("news:a", vec!["subscribe", "history"]),
            ("posts_7", vec!["history"]),
            ("posts_x", vec![]),
            ("exact*", vec!["publish"]),
            ("exactly", vec![]),
            ("other", vec![]),
        ] {
            assert_eq!(opened(&caps, channel), expected, "{channel}");
        }
    }

    #[test]
    fn what_is_not_understood_opens_nothing_and_the_rest_holds() {
        let good = json!({ "channels": ["a"], "allow": ["sub"] });
        for (bad, fault) in [
            (
                json!({ "channels": ["a"], "match": "glob", "allow": ["pub"] }),
                Fault::Match,
            ),
            (json!({ "channels": ["a"], "allow": ["pub*"] }), Fault::Allow),
            (
                json!({ "channels": ["("], "match": "regex", "allow": ["pub"] }),
                Fault::Pattern,
            ),
            (
                json!({ "channels": ["x{900}{900}"], "match": "regex", "allow": ["pub"] }),
                Fault::Pattern,
            ),
            (json!({ "channels": ["a", ""], "allow": ["pub"] }), Fault::Channel),
            (
                json!({ "channels": ["a", "b".repeat(513)], "allow": ["pub"] }),
                Fault::Channel,
            ),
        ] {
            let caps = caps(&json!([bad, good]));
            assert_eq!(
                (opened(&caps, "a"), caps.fault()),
                (vec!["subscribe"], Some(fault)),
                "{bad}"
            );
        }
        assert_eq!(
            caps(&json!([{ "channels": ["a"] }, { "allow": ["sub"] }])).fault(),
            None
        );
    }

    #[test]
    fn what_is_no_list_or_too_long_opens_nothing_at_all() {
        let many = vec![json!({ "channels": ["a"], "allow": ["sub"] }); MAX_CAPS + 1];
        let wide = json!({ "channels": vec!["a"; MAX_CHANNELS + 1], "allow": ["sub"] });
        for (written, fault) in [
            (json!("admin"), Fault::Shape),
            (json!({ "channels": ["a"], "allow": ["sub"] }), Fault::Shape),
            (json!(["a"]), Fault::Shape),
            (json!([{ "channels": "a", "allow": ["sub"] }]), Fault::Shape),
            (json!([{ "channels": ["a"], "allow": "sub" }]), Fault::Shape),
            (json!(many), Fault::TooMany),
            (json!([wide]), Fault::TooMany),
        ] {
            let caps = caps(&written);
            assert_eq!((caps.is_empty(), caps.fault()), (true, Some(fault)), "{written}");
        }
        let nothing = caps(&Value::Null);
        assert!(nothing.is_empty() && nothing.fault().is_none());
    }
}

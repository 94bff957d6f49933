//! Expressions of a namespace: each is read here, with the variables and functions that it names, so that nobody is refused later
//! for a slip of the pen.

use crate::{
    config::{
        error::Problems,
        settings::{RoomOptions, Who},
    },
    permission::Expression,
};

/// Checks those of the rooms at `path`, such as `rooms.default`. Beside another group than `token` an expression would be
/// taken for a condition and be none: it only adds.
pub(super) fn check(path: &str, options: &RoomOptions, problems: &mut Problems) {
    let history = options.history.as_ref().map(|history| history.read);
    let presence = options.presence.then_some(options.presence_read);
    for (key, text, policy, who) in [
        (
            "subscribe_cel",
            &options.subscribe_cel,
            "subscribe",
            Some(options.subscribe),
        ),
        (
            "publish_cel",
            &options.publish_cel,
            "publish",
            Some(options.publish),
        ),
        ("presence_cel", &options.presence_cel, "presence_read", presence),
        ("history_cel", &options.history_cel, "history.read", history),
    ] {
        let Some(text) = text else { continue };
        let key = format!("{path}.{key}");
        if let Err(error) = Expression::new(text) {
            problems.add(
                &key,
                error.to_string(),
                "an expression such as \"'admin' in meta.roles\"",
            );
        }
        match who {
            Some(Who::Token) => {}
            Some(_) if problems.sound(&[&format!("{path}.{policy}")]) => {
                let expected =
                    format!("{policy}: token; the expression may say `subscribed` or `user != ''`");
                problems.add(&key, format!("beside another {policy} than token"), expected);
            }
            Some(_) => {}
            None => {
                let section = if policy == "presence_read" {
                    "presence: true"
                } else {
                    "history"
                };
                problems.add(&key, format!("without {section}"), format!("{section}, or null"));
            }
        }
    }
}

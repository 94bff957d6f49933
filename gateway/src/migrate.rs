//! A configuration of Centrifugo, version 5 or 6, turned into one of this gateway: `import-centrifugo`.
//!
//! ```text
//! file ─▶ source: every option by name ─▶ v5: names of version 6 ─▶ options: what becomes of it ─▶ Settings check it
//! ```
//!
//! Nothing is dropped silently. Every option of the file ends in one of three places: in what is written, in the list of
//! those that are not needed, or in the list of those that could not be converted, with the reason. What is written is
//! loaded before it is shown; a value that the gateway would refuse is taken out and listed.
//!
//! Where Centrifugo's meaning cannot be said exactly, the narrower one is written: a room is rather closed to somebody than
//! opened, a listener rather kept to the machine than opened without anybody saying who the clients are.
//!
//! One table (`options`) has what becomes of each option; docs/migration.md is written from it.

mod doors;
mod options;
mod outcome;
mod proxies;
mod rooms;
mod source;
mod table;
mod tokens;
mod v5;
mod value;

use std::path::Path;

use options::{Fate, rule};
use outcome::Draft;
use source::Source;
use value::Form;

pub use outcome::{Note, Outcome};
pub use source::MigrateError;
pub use table::rewrite_table;

/// Reads a file of Centrifugo; its ending says whether it is JSON, YAML or TOML.
pub fn read(path: &Path) -> Result<Outcome, MigrateError> {
    let source = Source::read(path)?;
    convert(&source)
}

fn convert(source: &Source) -> Result<Outcome, MigrateError> {
    let mut draft = Draft::default();
    for entry in source.entries() {
        draft.count();
        match rule(&entry.path) {
            None => draft.leave(entry, "unknown: Centrifugo 5 and 6 have no such option"),
            Some(rule) => match rule.fate {
                Fate::Copied(Form::Text) if value::is_off(&entry.value) => draft.spare(entry, "empty"),
                Fate::Copied(form) => match form.read(&entry.value) {
                    Ok(value) => draft.set(rule.target, value, &entry.written),
                    Err(expected) => draft.leave(entry, &format!("not {expected}")),
                },
                Fate::Weighed => {}
                Fate::Needless => draft.spare(entry, rule.note),
                Fate::Fixed(same) if value::shows(&entry.value, same) => {
                    draft.spare(entry, "the only value here, too");
                }
                Fate::Missing if value::is_off(&entry.value) => {
                    draft.spare(entry, "off, as here");
                }
                Fate::Fixed(_) | Fate::Missing => draft.leave(entry, rule.note),
            },
        }
    }
    let (proxies, guard) = proxies::convert(source, &mut draft);
    let checks_tokens = tokens::convert(source, &mut draft);
    doors::convert(source, guard, checks_tokens, &mut draft);
    rooms::convert(source, &proxies, &mut draft);
    draft.finish().ok_or(MigrateError::Refused)
}

#[cfg(test)]
mod tests;

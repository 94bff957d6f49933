//! Which publications of a room a subscription wants, by their tags (`tf` of a subscription).
//!
//! A filter is a tree: leaves compare one tag, the nodes above them say `and`, `or` and `not`. What each comparison means,
//! also for a tag that is not there, is as in the centrifuge library of Go, so that a client sees the same publications:
//!
//! | `cmp` | fits when the tag | without the tag |
//! |---|---|---|
//! | `eq`, `neq` | is, is not `val` | no, yes |
//! | `in`, `nin` | is, is not among `vals` | as the empty text |
//! | `ex`, `nex` | is there, is not there | no, yes |
//! | `sw`, `ew`, `ct` | starts with, ends with, contains `val` | no |
//! | `gt`, `gte`, `lt`, `lte` | is a number above, from, below, up to `val`, which is one too | no |
//!
//! Who sends a filter is not trusted: [`Filter::new`] takes trees of bounded size only, and what it makes of them costs
//! at most one comparison for each leaf. Equal filters are equal and hash alike, so that members of a room who want the same
//! share one answer for each publication.

mod build;
mod number;

use std::borrow::Cow;

use serde::Deserialize;

pub use build::FilterError;
use number::Number;

use crate::json::field;

/// A node of a filter as it is sent: not judged yet, any depth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FilterNode<'a> {
    /// `and`, `or`, `not`; empty for a leaf.
    #[serde(borrow, deserialize_with = "field::text")]
    pub op: Cow<'a, str>,
    /// The tag that a leaf compares.
    #[serde(borrow, deserialize_with = "field::text")]
    pub key: Cow<'a, str>,
    /// How a leaf compares.
    #[serde(borrow, deserialize_with = "field::text")]
    pub cmp: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    pub val: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text_list")]
    pub vals: Vec<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "field::filter_nodes")]
    pub nodes: Vec<FilterNode<'a>>,
}

impl FilterNode<'_> {
    /// Stands for what could not be read as a filter: [`Filter::new`] refuses it, so that it costs its sender the
    /// subscription and not the connection.
    pub(crate) fn unreadable() -> Self {
        Self {
            op: Cow::Borrowed("unreadable"),
            ..Self::default()
        }
    }
}

/// A filter that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Node);

impl Filter {
    /// Whether a publication with these tags is wanted; `tag` looks one up.
    pub fn matches<'t>(&self, tag: impl Fn(&str) -> Option<&'t str>) -> bool {
        self.0.matches(&tag)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Tag { key: Box<str>, test: Test },
}

/// What a tag is asked. The negative comparisons are a [`Node::Not`] around these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Test {
    Exists,
    Is(Box<str>),
    /// Sorted, each once.
    IsAmong(Box<[Box<str>]>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    IsAbove(Box<str>),
    IsFrom(Box<str>),
    IsBelow(Box<str>),
    IsUpTo(Box<str>),
}

impl Node {
    fn matches<'t>(&self, tag: &impl Fn(&str) -> Option<&'t str>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(tag)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(tag)),
            Self::Not(node) => !node.matches(tag),
            Self::Tag { key, test } => test.passes(tag(key)),
        }
    }
}

impl Test {
    fn passes(&self, tag: Option<&str>) -> bool {
        if let Self::IsAmong(values) = self {
            let tag = tag.unwrap_or_default();
            return values.binary_search_by(|value| (**value).cmp(tag)).is_ok();
        }
        tag.is_some_and(|tag| match self {
            Self::Exists | Self::IsAmong(_) => true,
            Self::Is(value) => tag == &**value,
            Self::StartsWith(value) => tag.starts_with(&**value),
            Self::EndsWith(value) => tag.ends_with(&**value),
            Self::Contains(value) => tag.contains(&**value),
            Self::IsAbove(value) => numbers(tag, value).is_some_and(|(tag, value)| tag > value),
            Self::IsFrom(value) => numbers(tag, value).is_some_and(|(tag, value)| tag >= value),
            Self::IsBelow(value) => numbers(tag, value).is_some_and(|(tag, value)| tag < value),
            Self::IsUpTo(value) => numbers(tag, value).is_some_and(|(tag, value)| tag <= value),
        })
    }
}

/// Both, when both are numbers.
fn numbers<'n>(tag: &'n str, value: &'n str) -> Option<(Number<'n>, Number<'n>)> {
    Some((Number::parse(tag)?, Number::parse(value)?))
}

#[cfg(test)]
mod tests;

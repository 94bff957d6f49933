//! Which publications of a room a subscription wants, by their tags (`tf` of a subscription).

use std::borrow::Cow;

use serde::Deserialize;

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

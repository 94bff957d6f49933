//! The tags of a publication, as filters ask for them.

use std::collections::HashMap;

use natter_protocol::Filter;

use super::Publication;

pub struct Tags(HashMap<String, String>);

impl Tags {
    /// Tags that are no object of strings, which no door lets in, are none.
    pub fn of(publication: &Publication) -> Self {
        let tags = publication.tags.as_deref();
        Self(
            tags.and_then(|tags| serde_json::from_slice(tags).ok())
                .unwrap_or_default(),
        )
    }

    /// Whether somebody with this filter wants the publication.
    pub fn fit(&self, filter: &Filter) -> bool {
        filter.matches(|key| self.0.get(key).map(String::as_str))
    }
}

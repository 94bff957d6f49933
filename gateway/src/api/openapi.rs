//! The description of the API, as `OpenAPI` 3.1.
//!
//! It is a file (`openapi.json`) and not derived from the code: bodies here are read without being copied or parsed, which
//! no derived schema describes, and most of its worth is in its sentences. Tests compare it with what the router does.

use std::sync::Arc;

use axum::{Router, routing::get};
use http::header;

use crate::gateway::Gateway;

pub(super) const PATH: &str = "/openapi.json";
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// Needs no key: it says nothing about this gateway.
pub(super) fn router() -> Router<Arc<Gateway>> {
    Router::new().route(
        PATH,
        get(|| async { ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION) }),
    )
}

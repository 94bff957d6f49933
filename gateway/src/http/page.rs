//! The demo page, built into the binary.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::gateway::Gateway;

/// Nothing from other hosts, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 7] = [
    Asset {
        path: "/",
        content_type: HTML,
        text: include_str!("../../page/index.html"),
    },
    Asset {
        path: "/chat.css",
        content_type: CSS,
        text: include_str!("../../page/chat.css"),
    },
    Asset {
        path: "/chat.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../page/chat.js"),
    },
    Asset {
        path: "/dom.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../page/dom.js"),
    },
    Asset {
        path: "/drawer.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../page/drawer.js"),
    },
    Asset {
        path: "/log.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../page/log.js"),
    },
    Asset {
        path: "/natter.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../page/natter.js"),
    },
];

/// A reload may turn the page off and on: the routes stay.
pub(super) fn router(gateway: &Arc<Gateway>) -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let gateway = gateway.clone();
        let answer = move || async move {
            if gateway.live().settings.page.enabled {
                serve(asset)
            } else {
                StatusCode::NOT_FOUND.into_response()
            }
        };
        router.route(asset.path, get(answer))
    })
}

fn serve(asset: &'static Asset) -> Response {
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new release is seen at the next load.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        asset.text,
    )
        .into_response()
}

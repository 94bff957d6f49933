//! Combinations that would open the gateway by accident. Each can be had by saying so in plain words.

use crate::config::{
    error::Problems,
    settings::{Anonymous, Settings},
};

/// Headers that every browser sends: none of them can name a user.
const COMMON_HEADERS: [&str; 8] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "origin",
    "user-agent",
];

pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    user_header(settings, problems);
    authentication(settings, problems);
}

fn user_header(settings: &Settings, problems: &mut Problems) {
    if let Some(name) = settings
        .client
        .user_id_header
        .as_ref()
        .map(http::HeaderName::as_str)
        && (COMMON_HEADERS.contains(&name) || name.starts_with("sec-"))
    {
        let problem = format!("{name} is sent by every browser and proves nothing");
        problems.add(
            "client.user_id_header",
            problem,
            "a header that only the proxy sets, such as x-user-id",
        );
    }
}

fn authentication(settings: &Settings, problems: &mut Problems) {
    const KEYS: [&str; 5] = [
        "client.anonymous",
        "client.user_id_header",
        "client.connect_proxy",
        "tokens",
        "listen",
    ];
    let open = !settings.listen.ip().is_loopback();
    if settings.names_users() || !problems.sound(&KEYS) {
        return;
    }
    match settings.client.anonymous {
        Anonymous::Loopback if open => problems.add(
            "client.anonymous",
            format!(
                "listen {} can be reached by others and nothing says who they are",
                settings.listen
            ),
            "client.anonymous: allow lets everybody who reaches it in, without a name; \
             tokens and client.user_id_header say who users are; or listen on 127.0.0.1",
        ),
        Anonymous::Deny => problems.add(
            "client.anonymous",
            "deny without tokens and client.user_id_header lets nobody in",
            "tokens: who signs them; client.user_id_header: the header of an authenticating proxy",
        ),
        _ => {}
    }
}

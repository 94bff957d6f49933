//! Logging in at NATS with what stands in the URLs of its servers. The client does not do so by itself: it reads their hosts
//! only.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// With the credentials of the servers, which all have the same: user and password, or a token where there is no password.
pub(super) fn log_in(options: ConnectOptions, servers: &[ServerAddr]) -> ConnectOptions {
    let Some(server) = servers.first() else {
        return options;
    };
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => options.user_and_password(decoded(user), decoded(password)),
        (Some(token), None) => options.token(decoded(token)),
        (None, _) => options,
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

//! A NATS with users: the gateways of this suite may do what `natter-gateway nats-permissions` says and nothing else. Tests that
//! speak with the server by themselves do so without a login and may do everything.

use natter_gateway::{
    bus::{Duties, Permissions},
    config::HistoryOptions,
    history::HistoryPolicy,
    nats_permissions::nats_conf,
};
use natter_tests::nats::{NatsBuilder, NatsServer};

use crate::support::PREFIX;

/// Durable namespaces of the tests of this suite.
const NAMESPACES: [&str; 3] = ["kept", "seen", "me"];
pub(crate) const PASSWORD: &str = "the-gateways-own-password";

/// A server for gateways with [`PREFIX`].
pub(crate) fn server() -> NatsBuilder {
    let durable = NAMESPACES.map(|namespace| HistoryPolicy {
        namespace: namespace.into(),
        options: HistoryOptions::default(),
    });
    let duties = Duties {
        manage_streams: true,
        serve_api: true,
    };
    with_users(&nats_conf(&Permissions::new(PREFIX, &durable, duties)))
}

/// A server with the users of this text, and one that needs no login and may do everything.
pub(crate) fn with_users(users: &str) -> NatsBuilder {
    let users = with_passwords(users).replace("users: [", "users: [\n  { user: test, password: test }");
    NatsServer::builder().config(&format!("authorization {{\n{users}}}\nno_auth_user: test"))
}

/// A server with the users of this text, and nobody else.
pub(crate) fn only(users: &str) -> NatsBuilder {
    NatsServer::builder().config(&format!("authorization {{\n{}}}", with_passwords(users)))
}

fn with_passwords(users: &str) -> String {
    users
        .replace("$NATTER_GATEWAY_PASSWORD", PASSWORD)
        .replace("$NATTER_ADMIN_PASSWORD", PASSWORD)
}

/// The URL with the login of a gateway; a server without users does not mind.
pub(crate) fn login(url: &str) -> String {
    login_as("gateway", url)
}

pub(crate) fn login_as(user: &str, url: &str) -> String {
    url.replacen("://", &format!("://{user}:{PASSWORD}@"), 1)
}

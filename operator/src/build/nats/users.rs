//! Who may do what at a managed NATS: gateways and an administrator, each with a password that the operator makes, and nobody
//! else.
//!
//! The rights are those of the gateways' code, for any namespaces: a namespace that comes or goes restarts no server. The table
//! is `natter-gateway nats-permissions --any-namespaces @prefix@`; a test compares.

use k8s_openapi::api::core::v1::EnvVar;

use super::CLIENT_PORT;
use crate::build::{Names, gateway::NATS_SERVERS, pod};

/// Keys of the Secret with the passwords.
pub const GATEWAY_KEY: &str = "gateway-password";
pub const ADMIN_KEY: &str = "admin-password";

const USERS: &str = include_str!("users.conf");
/// What stands for the prefix of the cluster's subjects in it.
const PREFIX: &str = "@prefix@";

/// The part of the servers' configuration.
pub(super) fn authorization(prefix: &str) -> String {
    format!("authorization {{\n{}}}\n", USERS.replace(PREFIX, prefix))
}

/// The variables that it names.
pub(super) fn passwords(names: &Names) -> [EnvVar; 2] {
    [
        ("NATTER_GATEWAY_PASSWORD", GATEWAY_KEY),
        ("NATTER_ADMIN_PASSWORD", ADMIN_KEY),
    ]
    .map(|(variable, key)| pod::env_of_secret(variable, &names.nats_users(), key))
}

/// How a gateway gets in.
pub(in crate::build) fn environment(names: &Names) -> [EnvVar; 2] {
    let address = format!(
        "nats://gateway:$(NATS_PASSWORD)@{}:{CLIENT_PORT}",
        names.host(&names.nats())
    );
    [
        pod::env_of_secret("NATS_PASSWORD", &names.nats_users(), GATEWAY_KEY),
        pod::env(NATS_SERVERS, address),
    ]
}

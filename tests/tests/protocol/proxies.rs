//! A backend that is asked about what clients do: what it is told, what clients see of its answers, and what happens when
//! there is none.

mod bytes;
mod choice;
mod connect;
mod permissions;
mod publish;
mod refresh;
mod rpc;
mod subscribe;
mod wires;

use anyhow::Result;
use natter_tests::backend::Backend;
use natter_tests::gateway::Gateway;

/// A gateway that knows the backend, with `proxy` as more YAML of the proxy (begun by a comma) and `more` beside it.
async fn beside(backend: &Backend, proxy: &str, more: &str) -> Result<Gateway> {
    crate::scene::gateway(&(backend.proxies(proxy) + more)).await
}

//! The HTTP client of the helpers.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

/// A client for one server of one test.
///
/// It belongs to one test because its connections belong to the test's runtime; it keeps none between requests because
/// the server may have been restarted in between; it ignores proxy settings because everything is on loopback.
pub(crate) fn client() -> Result<Client> {
    Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(5))
        .build()
        .context("cannot build an HTTP client")
}

//! A gateway's HTTP surfaces: the server API, readiness and metrics.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Gateway, Metrics, check};
use crate::wait::eventually;

impl Gateway {
    /// Calls a method of the server API with the test's key; anything but a JSON success is an error.
    pub async fn api(&self, method: &str, request: &Value) -> Result<Value> {
        let (status, body) = self
            .api_raw(method, Some(&self.api_key), request.to_string())
            .await?;
        check(method, status, &body)?;
        serde_json::from_str(&body).with_context(|| format!("{method} answered no JSON: {body}"))
    }

    /// Calls a method of the server API with any key (or none) and any body; gives the status and the body.
    pub async fn api_raw(
        &self,
        method: &str,
        key: Option<&str>,
        body: impl Into<String>,
    ) -> Result<(u16, String)> {
        let url = format!("{}/api/{method}", self.http_url());
        let mut request = self
            .http
            .post(&url)
            .header("content-type", "application/json")
            .body(body.into());
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        answer(request, &url).await
    }

    /// `/readyz`: the status and the body, which says why not.
    pub async fn ready(&self) -> Result<(u16, String)> {
        self.get(&format!("{}/readyz", self.ops_url())).await
    }

    /// Waits until the body of `/readyz` says that the bus is in this state, and with `up` that it is known what is revoked; gives the status that goes with it.
    pub async fn wait_bus(&self, state: &str, limit: Duration) -> Result<u16> {
        eventually(&format!("the bus is {state}"), limit, async || {
            let (status, body) = self.ready().await?;
            let report: Value = serde_json::from_str(&body)?;
            ensure!(report["bus"] == state, "{body}");
            // It is of no use for all rooms before.
            let is_current = report["revocations"] == "current";
            ensure!(state != "up" || is_current, "{body}");
            Ok(status)
        })
        .await
    }

    /// `/metrics`, parsed.
    pub async fn metrics(&self) -> Result<Metrics> {
        let url = format!("{}/metrics", self.ops_url());
        let (status, body) = self.get(&url).await?;
        check(&url, status, &body)?;
        Metrics::parse(&body)
    }

    /// A control call (`POST`, or `GET` for `state`) with a bearer token and a body; gives the status and the answer.
    pub async fn control(&self, call: &str, token: &str, body: &str) -> Result<(u16, Value)> {
        let url = format!("{}/control/{call}", self.ops_url());
        let method = if call == "state" {
            reqwest::Method::GET
        } else {
            reqwest::Method::POST
        };
        let request = self.http.request(method, &url).bearer_auth(token);
        let (status, text) = answer(request.body(body.to_owned()), &url).await?;
        let answer =
            serde_json::from_str(&text).with_context(|| format!("{url} answered no JSON: {text}"))?;
        Ok((status, answer))
    }

    /// Gets any URL; gives the status and the body.
    pub async fn get(&self, url: &str) -> Result<(u16, String)> {
        answer(self.http.get(url), url).await
    }
}

async fn answer(request: reqwest::RequestBuilder, url: &str) -> Result<(u16, String)> {
    let response = request
        .send()
        .await
        .with_context(|| format!("no answer from {url}"))?;
    let status = response.status().as_u16();
    Ok((
        status,
        response
            .text()
            .await
            .with_context(|| format!("cannot read the answer of {url}"))?,
    ))
}

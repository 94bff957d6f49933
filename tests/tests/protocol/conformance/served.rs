//! What stands behind the gateway and is passed on by it, over every transport in every encoding.

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::backend::Backend;
use natter_tests::wire::{Encoding, Transport, Wire};
use serde_json::{Value, json};

use super::{connect, names::Names, said};
use crate::scene::gateway;

/// A room in which everybody is told who comes and goes, one that the server alone puts clients in, and a backend, which
/// also signs tokens.
const SERVED: &str = "client: {rpc_proxy: backend, anonymous: allow}
tokens: [{name: backend, hmac_secrets: [of the backend]}]
rooms: {namespaces: [
  {name: told, subscribe: anyone, join_leave: true, force_push_join_leave: true}, {name: pushed, subscribe: server}]}\n";

/// So far away that what is told of it is the most that is told: a year.
const LATER: u64 = 4_000_000_000;
const YEAR: u64 = 365 * 24 * 3_600;

/// What a backend answers, and what the server says unasked.
pub(super) async fn is_served(transport: Transport, encoding: Encoding) -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = gateway(&(backend.proxies("") + SERVED)).await?;
    let (mut wire, reply) = connect(&gateway, transport, encoding).await?;
    let mut names = Names::of(&reply);
    let client = reply["connect"]["client"].clone();
    names.calls(&mut wire, &mut backend).await.context("a call")?;
    names.renews(&mut wire).await.context("a token")?;

    let of = |name: &str| json!({ "info": { "client": name } });
    let told = json!({ "channel": "told:a" });
    wire.request(json!({ "subscribe": told })).await?;
    names.is_told(&mut wire, "told:a", "join", of("CLIENT")).await?;
    let (mut other, reply) = connect(&gateway, transport, encoding).await?;
    names.learn("OTHER", &reply["connect"]["client"]);
    other.request(json!({ "subscribe": told })).await?;
    names.is_told(&mut wire, "told:a", "join", of("OTHER")).await?;
    other.request(json!({ "unsubscribe": told })).await?;
    names.is_told(&mut wire, "told:a", "leave", of("OTHER")).await?;

    let order = async |method: &str, mut order: Value| {
        order["client"] = client.clone();
        let answer = gateway.api(method, &order).await?;
        ensure!(answer.get("result").is_some(), "{method}: {answer}");
        Ok(())
    };
    order("subscribe", json!({ "channel": "pushed:a", "data": said() })).await?;
    names
        .is_told(&mut wire, "pushed:a", "subscribe", json!({ "data": said() }))
        .await?;
    order("refresh", json!({ "expire_at": LATER })).await?;
    names
        .is_told(&mut wire, "", "refresh", json!({ "expires": true, "ttl": YEAR }))
        .await?;
    order("unsubscribe", json!({ "channel": "pushed:a" })).await?;
    let end = json!({ "code": 2000, "reason": "server unsubscribe" });
    names.is_told(&mut wire, "pushed:a", "unsubscribe", end).await
}

/// A token of somebody without a name.
fn token(mut claims: Value) -> Result<String> {
    install_crypto();
    claims["exp"] = LATER.into();
    let key = EncodingKey::from_secret(b"of the backend");
    Ok(encode(&Header::default(), &claims, &key)?)
}

impl Names {
    /// The connection and a subscription by tokens.
    async fn renews(&self, wire: &mut Wire) -> Result<()> {
        let lease = token(json!({ "channel": "$lent" }))?;
        for (command, request) in [
            ("refresh", json!({ "token": token(json!({}))? })),
            ("subscribe", json!({ "channel": "$lent", "token": lease })),
            ("sub_refresh", json!({ "channel": "$lent", "token": lease })),
        ] {
            let reply = wire.request(json!({ command: request })).await?;
            let expected = json!({ "id": reply["id"], command: { "expires": true, "ttl": YEAR } });
            self.expect(&reply, &expected).context(command)?;
        }
        Ok(())
    }

    /// The next push; without a channel it is about the connection.
    async fn is_told(&self, wire: &mut Wire, channel: &str, kind: &str, what: Value) -> Result<()> {
        let push = wire.recv_where(|value| value.get("push").is_some()).await?;
        let mut expected = json!({ "push": { kind: what } });
        if !channel.is_empty() {
            expected["push"]["channel"] = channel.into();
        }
        self.expect(&push, &expected)
    }

    /// Calls that a backend answers by a result and by an error.
    async fn calls(&self, wire: &mut Wire, backend: &mut Backend) -> Result<()> {
        let refusal = json!({ "code": 1000, "message": "not yours" });
        for (answer, mut expected) in [
            (
                json!({ "result": { "data": said() } }),
                json!({ "rpc": { "data": said() } }),
            ),
            (json!({ "error": refusal }), json!({ "error": refusal })),
        ] {
            let id = wire.next_id();
            wire.send(&[json!({ "id": id, "rpc": { "method": "ask", "data": said() } })])
                .await?;
            let asked = backend.asked().await?;
            ensure!(
                asked.body["method"] == "ask" && asked.body["data"] == said(),
                "{}",
                asked.body
            );
            asked.answer(&answer)?;
            let reply = wire.recv_where(|value| value["id"] == id).await?;
            expected["id"] = id.into();
            self.expect(&reply, &expected)?;
        }
        Ok(())
    }
}

//! Two users of NATS: gateways do all their work with the rights that are printed for them, need every one of them, and can do
//! nothing else.

use anyhow::{Context, Result, ensure};
use async_nats::{Client as NatsClient, ConnectOptions, Event};
use natter_gateway::bus::{Duties, Permissions, Right};
use natter_gateway::config::{HistoryOptions, StreamOptions};
use natter_gateway::history::HistoryPolicy;
use natter_tests::gateway::{Finished, Gateway, GatewayBuilder};
use natter_tests::nats::{NatsBuilder, NatsServer};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{
    LIMIT, PREFIX, builder, call, connect, done, expect, is_temporary, member, metric, publish, subscribe,
};
use crate::users;

pub(crate) const ROOMS: &str = "rooms: { namespaces: [{ name: kept, subscribe: anyone, publish: anyone, presence: true, \
                     presence_read: anyone, join_leave: true, history: { read: anyone, stream: { partitions: 1 } } }] }\n";

/// A gateway that may not make streams.
fn gateway(name: &str, nats: &str) -> GatewayBuilder {
    builder(name, nats, ROOMS)
        .env("NATTER_API_NATS", "true")
        .env("NATTER_BUS_NATS_MANAGE_STREAMS", "false")
}

/// The same rights by the library, to look at one by one.
fn permissions() -> Permissions {
    let kept = HistoryPolicy {
        namespace: "kept".into(),
        options: HistoryOptions {
            stream: StreamOptions {
                partitions: Some(1),
                ..StreamOptions::default()
            },
            ..HistoryOptions::default()
        },
    };
    let duties = Duties {
        manage_streams: false,
        serve_api: true,
    };
    Permissions::new(PREFIX, &[kept], duties)
}

/// A server with the users that the command prints.
async fn server() -> Result<NatsBuilder> {
    let args = ["nats-permissions", "--config", "{config}"];
    let finished = gateway("print", "nats://127.0.0.1:1").run(&args, LIMIT).await?;
    ensure!(finished.status.success(), "{finished:?}");
    Ok(users::with_users(&finished.stdout.join("\n")).jetstream())
}

async fn set_up(nats: &NatsServer, user: &str) -> Result<Finished> {
    let servers = users::login_as(user, &nats.url());
    let args = [
        "setup-bus",
        "--config",
        "{config}",
        "--nats",
        &servers,
        "--time-limit",
        "20s",
    ];
    gateway("setup", &nats.url()).run(&args, LIMIT * 2).await
}

/// A gateway whose streams are there.
async fn ready(name: &str, nats: &NatsServer) -> Result<Gateway> {
    let gateway = gateway(name, &nats.url()).start().await?;
    wait_ready(&gateway, 200).await?;
    Ok(gateway)
}

/// The body of `/readyz` once it has this status.
async fn wait_ready(gateway: &Gateway, status: u16) -> Result<Value> {
    let url = format!("{}/readyz", gateway.ops_url());
    eventually("readiness as expected", LIMIT, async || {
        let (found, body) = gateway.get(&url).await?;
        ensure!(found == status, "{found}: {body}");
        Ok(serde_json::from_str(&body)?)
    })
    .await
}

#[tokio::test]
async fn a_gateway_names_the_streams_that_it_may_not_make_and_waits_for_them() -> Result<()> {
    let nats = server().await?.start().await?;
    let gateway = gateway("early", &nats.url()).start().await?;
    eventually("the stream is named", LIMIT, async || {
        let body = wait_ready(&gateway, 503).await?;
        let why = body["namespaces"]["kept"].as_str().context("nothing of it")?;
        ensure!(
            why.contains("scenario_kept_0 does not exist") && why.contains("setup-bus"),
            "{body}"
        );
        ensure!(
            body["reasons"] == json!(["streams_missing", "revocations_unknown"]),
            "{body}"
        );
        Ok(())
    })
    .await?;

    let refused = set_up(&nats, "gateway").await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let why = refused.stderr.join("\n");
    ensure!(
        why.contains("does not permit"),
        "gateways may not make streams: {refused:?}"
    );

    let made = set_up(&nats, "admin").await?;
    ensure!(
        made.status.success()
            && made
                .stdout
                .contains(&"kept: made or changed scenario_kept_0".to_owned()),
        "{made:?}"
    );
    wait_ready(&gateway, 200).await?;
    let again = set_up(&nats, "admin").await?;
    ensure!(
        again.status.success() && again.stdout.contains(&"kept: found scenario_kept_0".to_owned()),
        "{again:?}"
    );
    let mut client = member(&gateway, "kept:room").await?;
    publish(&mut client, "kept:room", json!(1)).await
}

/// The server writes down what it is told, which is compared with the rights.
#[tokio::test]
async fn gateways_need_every_right_that_they_have_and_no_other() -> Result<()> {
    let nats = server().await?.config("trace: true").start().await?;
    ensure!(set_up(&nats, "admin").await?.status.success());
    let (a, b) = (ready("a", &nats).await?, ready("b", &nats).await?);
    everything(&a, &b, &nats).await?;
    // Few revocations are read from the leader by who starts, many from any replica.
    let mut late = Vec::new();
    for (name, users) in [("c", 0..3), ("d", 3..40)] {
        for user in users {
            call(&a, "block_user", json!({ "user": user.to_string() })).await?;
        }
        late.push(ready(name, &nats).await?);
    }
    for gateway in [&a, &b] {
        let refused = gateway
            .metrics()
            .await?
            .value("natter_bus_errors_total", &[("kind", "permission")]);
        ensure!(refused.unwrap_or(0.0) == 0.0, "{refused:?}: {:?}", gateway.logs());
    }
    // Says goodbye, which NATS has to have heard.
    b.terminate()?;
    ensure!(b.wait_exit(LIMIT).await?.success());

    let Permissions { gateway, .. } = permissions();
    eventually("every right was used", LIMIT, async || {
        let log = nats.log();
        for (rights, verbs) in [
            (&gateway.publish, &["PUB", "HPUB"][..]),
            (&gateway.subscribe, &["SUB"]),
        ] {
            for right in rights {
                ensure!(was_used(&log, right, verbs), "{right:?}");
            }
        }
        Ok(())
    })
    .await
}

/// All that gateways do over NATS.
pub(crate) async fn everything(a: &Gateway, b: &Gateway, nats: &NatsServer) -> Result<()> {
    for room in ["room", "kept:room"] {
        let (mut here, mut there) = (member(a, room).await?, member(b, room).await?);
        publish(&mut here, room, json!("hello")).await?;
        expect(&mut there, room, &json!("hello")).await?;
    }
    let mut watcher = connect(b).await?;
    let watch = json!({ "subscribe": { "channel": "kept:room", "join_leave": true } });
    done(&mut watcher, watch).await?;
    let _member = member(a, "kept:room").await?;
    watcher
        .recv_where(|said| said["push"]["join"].is_object())
        .await?;
    eventually("both gateways know who is there", LIMIT, async || {
        let found = call(b, "presence_stats", json!({ "channel": "kept:room" })).await?;
        ensure!(found["num_clients"] == 2, "{found}");
        Ok(())
    })
    .await?;
    // The second one is compared with the first, which is read from the stream.
    for _ in 0..2 {
        let message = json!({ "channel": "kept:room", "data": 1, "idempotency_key": "once" });
        call(a, "publish", message).await?;
    }
    let page = json!({ "channel": "kept:room", "limit": 10 });
    let found = call(b, "history", page.clone()).await?;
    ensure!(
        found["publications"].as_array().map(Vec::len) == Some(2),
        "{found}"
    );
    // By the newest message of a room alone.
    let newest = json!({ "channel": "kept:room", "limit": 1, "reverse": true });
    call(b, "history", newest).await?;
    call(b, "history", json!({ "channel": "kept:room" })).await?;
    call(a, "history_remove", json!({ "channel": "kept:room" })).await?;
    let found = call(b, "history", page).await?;
    ensure!(found["publications"] == json!([]), "{found}");

    let backend = async_nats::connect(nats.url()).await?;
    for (subject, body) in [
        (format!("{PREFIX}.api.info"), json!({})),
        (format!("{PREFIX}.api"), json!({ "method": "info", "params": {} })),
    ] {
        let answer = backend.request(subject, body.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        ensure!(answer.to_string().contains("nodes"), "{answer}");
    }
    Ok(())
}

/// Whether the server was told so by a gateway: `[PUB subject …]`, `[SUB subject …]`.
fn was_used(log: &[String], right: &Right, verbs: &[&str]) -> bool {
    log.iter().any(|line| {
        let Some((_, told)) = line.split_once("<<- [") else {
            return false;
        };
        let mut words = told.trim_end_matches(']').split_whitespace();
        let (verb, subject) = (words.next(), words.next());
        verb.is_some_and(|verb| verbs.contains(&verb))
            && subject.is_some_and(|subject| covers(&right.subject, subject))
    })
}

fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Somebody with a user's login, and what the server says to it by itself.
pub(crate) struct Intruder {
    client: NatsClient,
    refusals: mpsc::UnboundedReceiver<String>,
}

impl Intruder {
    pub(crate) async fn login(user: &str, nats: &NatsServer) -> Result<Self> {
        let (sender, refusals) = mpsc::unbounded_channel();
        let login = ConnectOptions::with_user_and_password(user.to_owned(), users::PASSWORD.to_owned());
        let options = login.event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = sender.send(error.to_string());
            }
            std::future::ready(())
        });
        let client = options.connect(nats.url()).await?;
        Ok(Self { client, refusals })
    }

    /// The next refusal must be of this subject.
    async fn is_refused(&mut self, what: &str, subject: &str) -> Result<()> {
        self.client.flush().await?;
        let refusal = tokio::time::timeout(LIMIT, self.refusals.recv()).await;
        let refusal = refusal
            .with_context(|| format!("{what} {subject} was not refused"))?
            .context("the client is gone")?;
        ensure!(
            refusal.contains(what) && refusal.contains(&format!("\"{subject}\"")),
            "{what} {subject} was due, {refusal} came"
        );
        Ok(())
    }

    /// Each of it is tried.
    pub(crate) async fn may_not(&mut self, publish: &[&str], subscribe: &[&str]) -> Result<()> {
        for subject in publish {
            self.may_not_publish(subject).await?;
        }
        for subject in subscribe {
            self.may_not_subscribe(subject).await?;
        }
        Ok(())
    }

    async fn may_not_publish(&mut self, subject: &str) -> Result<()> {
        self.client.publish(subject.to_owned(), "{}".into()).await?;
        self.is_refused("Publish", subject).await
    }

    async fn may_not_subscribe(&mut self, subject: &str) -> Result<()> {
        let _subscriber = self.client.subscribe(subject.to_owned()).await?;
        self.is_refused("Subscription", subject).await
    }
}

#[tokio::test]
async fn what_is_not_in_the_rights_is_refused() -> Result<()> {
    let nats = server().await?.start().await?;
    ensure!(set_up(&nats, "admin").await?.status.success());
    let mut gateway = Intruder::login("gateway", &nats).await?;
    let publish = [
        "$JS.API.STREAM.CREATE.scenario_kept_0",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.API.STREAM.CREATE.KV_scenario_revocations",
        "$JS.API.STREAM.UPDATE.KV_scenario_revocations",
        "$JS.API.STREAM.UPDATE.scenario_kept_0",
        "$JS.API.STREAM.DELETE.scenario_kept_0",
        "$JS.API.STREAM.MSG.DELETE.scenario_kept_0",
        "$JS.API.STREAM.PURGE.other_kept_0",
        "$JS.API.STREAM.INFO.other_kept_0",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.INFO",
        "$JS.API.CONSUMER.CREATE.scenario_kept_0",
        "$JS.API.DIRECT.GET.other_kept_0",
        "$JS.API.META.LEADER.STEPDOWN",
        "$SYS.REQ.SERVER.PING",
        "other.eph.0.room",
        "other.msg.kept.0.room",
        "scenario.msg.kept.1.room",
        "scenario.live.other.0.room",
        "scenario.api.publish",
        "scenario.admin.inbox.a",
        "scenario",
        "_INBOX.somebody",
    ];
    let subscribe = [
        ">",
        "*",
        "scenario.>",
        "scenario.msg.kept.0.*",
        "scenario.api.publish",
        "scenario.admin.inbox.>",
        "other.eph.0.*",
        "other.>",
        "_INBOX.>",
        "$SYS.>",
        "$JS.API.>",
        "$JS.EVENT.>",
    ];
    gateway.may_not(&publish, &subscribe).await?;

    let mut admin = Intruder::login("admin", &nats).await?;
    let publish = [
        "scenario.eph.0.room",
        "scenario.msg.kept.0.room",
        "scenario.ctl.all",
        "scenario.api.publish",
        "scenario.inbox.a",
        "$KV.scenario_revocations.user.42",
        "$JS.API.STREAM.PURGE.scenario_kept_0",
        "$JS.API.STREAM.PURGE.KV_scenario_revocations",
        "$JS.API.STREAM.MSG.DELETE.KV_scenario_revocations",
        "$JS.API.DIRECT.GET.scenario_kept_0",
        "$JS.API.STREAM.MSG.GET.scenario_kept_0",
        "$JS.API.STREAM.SNAPSHOT.scenario_kept_0",
        "$JS.API.CONSUMER.CREATE.scenario_kept_0",
    ];
    let subscribe = [
        ">",
        "scenario.eph.0.*",
        "scenario.inbox.>",
        "scenario.ctl.all",
        "_INBOX.>",
    ];
    admin.may_not(&publish, &subscribe).await?;
    Ok(())
}

/// A request that is not permitted is never answered; without the server's own words it would look like a NATS that is slow.
#[tokio::test]
async fn what_nats_does_not_permit_is_said_at_once_and_by_name() -> Result<()> {
    let mut narrow = permissions();
    let denied = ["$JS.API.STREAM.INFO.scenario_kept_0", "scenario.ctl.all"];
    narrow
        .gateway
        .publish
        .retain(|right| !denied.contains(&right.subject.as_str()));
    let conf = natter_gateway::nats_permissions::nats_conf(&narrow);
    let nats = users::with_users(&conf).jetstream().start().await?;
    ensure!(set_up(&nats, "admin").await?.status.success());
    // Longer than the test waits: only the refusal can be what ends it.
    let gateway = gateway("narrow", &nats.url())
        .env("NATTER_BUS_NATS_REQUEST_TIMEOUT", "10m")
        .start()
        .await?;
    eventually("the right that is missing is named", LIMIT, async || {
        let body = wait_ready(&gateway, 503).await?;
        let why = body["namespaces"]["kept"].as_str().context("nothing of it")?;
        ensure!(
            why.contains("does not permit") && why.contains(denied[0]),
            "{body}"
        );
        Ok(())
    })
    .await?;
    for subject in denied {
        let fits = |line: &natter_tests::gateway::LogLine| {
            line.message().contains("does not permit to publish")
                && line.field("subject").and_then(Value::as_str) == Some(subject)
        };
        gateway.wait_log(fits, LIMIT).await?;
    }
    ensure!(metric(&gateway, "natter_bus_errors_total", &[("kind", "permission")]).await? >= 2.0);
    Ok(())
}

#[tokio::test]
async fn a_publication_that_nats_does_not_permit_is_refused_and_not_waited_for() -> Result<()> {
    let mut narrow = permissions();
    narrow
        .gateway
        .publish
        .retain(|right| !right.subject.starts_with("scenario.msg."));
    let conf = natter_gateway::nats_permissions::nats_conf(&narrow);
    let nats = users::with_users(&conf).jetstream().start().await?;
    ensure!(set_up(&nats, "admin").await?.status.success());
    let gateway = gateway("mute", &nats.url())
        .env("NATTER_BUS_NATS_STORE_TIMEOUT", "10m")
        .start()
        .await?;
    wait_ready(&gateway, 200).await?;
    let mut client = connect(&gateway).await?;
    subscribe(&mut client, "room").await?;
    let reply = client
        .request(json!({ "publish": { "channel": "kept:room", "data": 1 } }))
        .await?;
    ensure!(is_temporary(&reply), "{reply}");
    let labels = [("room_namespace", "kept"), ("reason", "bus_refused")];
    eventually("it counts as refused", LIMIT, async || {
        let refused = metric(&gateway, "natter_publications_refused_total", &labels).await?;
        ensure!(refused >= 1.0, "{refused}");
        Ok(())
    })
    .await?;
    done(
        &mut client,
        json!({ "publish": { "channel": "room", "data": 1 } }),
    )
    .await?;
    // The answer of the stream to a join is never awaited for long either.
    let reply = client
        .request(json!({ "subscribe": { "channel": "kept:room" } }))
        .await?;
    ensure!(is_temporary(&reply), "{reply}");
    Ok(())
}

/// Where gateways may not make the bucket of revocations, whoever waits for it is told who makes it.
#[tokio::test]
async fn a_bucket_that_is_missing_is_named_with_who_makes_it() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let gateway = builder("gateway", &nats.url(), "")
        .env("NATTER_BUS_NATS_MANAGE_STREAMS", "false")
        .start()
        .await?;
    eventually("the gateway says what is missing", LIMIT, async || {
        let (status, state) = gateway.ready().await?;
        ensure!(
            status == 503 && state.contains("natter-gateway setup-bus"),
            "{state}"
        );
        Ok(())
    })
    .await
}

//! Every line of `table.txt`: role × room × operation, asked by the official client, by bare commands, and over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::node;
use serde_json::{Value, json};

use super::token;
use crate::scene::gateway;

const TABLE: &str = include_str!("table.txt");
const OPERATIONS: [&str; 5] = ["subscribe", "publish", "presence", "presence_stats", "history"];
/// What the table has at least.
const LINES: usize = 150;
const ANSWERS: usize = 700;

const CONFIG: &str = "
tokens: [{name: backend, hmac_secrets: [of the backend]}]
client: {anonymous: allow}
rooms:
  default: null
  namespaces:
  - {name: anyone, subscribe: anyone, publish: anyone, presence: true, presence_read: anyone, history: {read: anyone}}
  - {name: users, subscribe: users, publish: users, presence: true, presence_read: users, history: {read: users}}
  - {name: subscribers, subscribe: users, publish: subscribers, presence: true, presence_read: subscribers,
     history: {read: subscribers}}
  - {name: token, subscribe: token, publish: token, presence: true, presence_read: token, history: {read: token}}
  - {name: server, subscribe: server, publish: server, presence: true, presence_read: server, history: {read: server}}
  - {name: cel, presence: true, history: {read: token}, subscribe_cel: &admin \"'admin' in meta.roles\", publish_cel: *admin,
     presence_cel: *admin, history_cel: *admin}
  - {name: plain, subscribe: users, publish: users}
";

/// Role and room, and what is answered to each operation.
type Answers = BTreeMap<(String, String), Vec<String>>;

fn table() -> Result<Answers> {
    let mut table = Answers::new();
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let [room, role, answers @ ..] = words.as_slice() else {
            bail!("no line of the table: {line}");
        };
        ensure!(answers.len() == OPERATIONS.len(), "no line of the table: {line}");
        let former = table.insert((role.clone(), room.clone()), answers.to_vec());
        ensure!(former.is_none(), "there twice: {line}");
    }
    Ok(table)
}

/// A client of the table: what it brings, and whether it stays outside.
struct Role {
    name: &'static str,
    claims: Option<Value>,
    is_outside: bool,
    /// What its subscription tokens say beside user and room; `None`: it has none.
    ticket: Option<Value>,
}

fn roles(rooms: &[String]) -> Vec<Role> {
    let role = |name, claims: Value| Role {
        name,
        claims: Some(claims),
        is_outside: name.ends_with("outside"),
        ticket: None,
    };
    let all = |allow: &[&str]| {
        let caps = json!([{ "channels": ["*"], "match": "wildcard", "allow": allow }]);
        json!({ "sub": "carol", "caps": caps })
    };
    let rooms: Vec<_> = rooms.iter().filter(|room| !room.starts_with("absent")).collect();
    vec![
        Role {
            claims: None,
            ..role("anonymous", Value::Null)
        },
        Role {
            claims: None,
            is_outside: true,
            ..role("passer-by", Value::Null)
        },
        role("ann", json!({ "sub": "ann" })),
        role("ann-outside", json!({ "sub": "ann" })),
        role("bob", json!({ "sub": "bob" })),
        role("caps", all(&["sub", "pub", "prs", "hst"])),
        role("caps-outside", all(&["sub", "pub", "prs", "hst"])),
        role("caps-reader", all(&["sub", "hst"])),
        Role {
            ticket: Some(json!({})),
            ..role("ticket", json!({ "sub": "ann" }))
        },
        Role {
            ticket: Some(json!({ "allow": ["pub", "prs", "hst"] })),
            ..role("ticket-rights", json!({ "sub": "ann" }))
        },
        role("member", json!({ "sub": "dave", "channels": rooms })),
        role("admin", json!({ "sub": "eve", "meta": { "roles": ["admin"] } })),
    ]
}

impl Role {
    fn token(&self) -> Result<Option<String>> {
        self.claims.as_ref().map(token).transpose()
    }

    fn ticket(&self, room: &str) -> Result<Option<String>> {
        let ticket = self.ticket.as_ref().map(|ticket| {
            let mut claims = ticket.clone();
            claims["sub"] = json!("ann");
            claims["channel"] = json!(room);
            token(&claims)
        });
        ticket.transpose()
    }
}

/// The answers that differ, one a line.
fn differences(table: &Answers, found: &Answers) -> Vec<String> {
    let line = |((role, room), answers): (&(String, String), &Vec<String>)| {
        let expected = table.get(&(role.clone(), room.clone()));
        let is_right = expected == Some(answers);
        (!is_right).then(|| format!("{role} in {room}: {answers:?}, expected {expected:?}"))
    };
    found.iter().filter_map(line).collect()
}

/// The error's code, or that there is none.
fn answer(reply: &Value) -> String {
    let code = &reply["error"]["code"];
    if code.is_null() {
        "ok".to_owned()
    } else {
        code.to_string()
    }
}

async fn by_commands(gateway: &Gateway, roles: &[Role], rooms: &[String]) -> Result<Answers> {
    let mut found = Answers::new();
    for role in roles {
        let connect = role.token()?.map_or(json!({}), |token| json!({ "token": token }));
        let (mut client, _) = Client::connected(&gateway.ws_url(), connect).await?;
        for room in rooms {
            let mut answers = Vec::new();
            for operation in OPERATIONS {
                let mut request = json!({ "channel": room });
                match operation {
                    "subscribe" if role.is_outside => {
                        answers.push("-".to_owned());
                        continue;
                    }
                    "subscribe" => request["token"] = json!(role.ticket(room)?.unwrap_or_default()),
                    "publish" => request["data"] = json!(role.name),
                    _ => {}
                }
                let reply = client.request(json!({ operation: request })).await;
                let reply = reply.with_context(|| format!("{} in {room}: {operation}", role.name))?;
                answers.push(answer(&reply));
            }
            found.insert((role.name.to_owned(), room.clone()), answers);
        }
    }
    Ok(found)
}

async fn by_the_official_client(gateway: &Gateway, roles: &[Role], rooms: &[String]) -> Result<Answers> {
    let mut described = Vec::new();
    for role in roles {
        let mut tickets = BTreeMap::new();
        for room in rooms {
            if let Some(ticket) = role.ticket(room)? {
                tickets.insert(room, ticket);
            }
        }
        described.push(json!({
            "role": role.name, "token": role.token()?, "outside": role.is_outside, "tickets": tickets,
        }));
    }
    let (url, described) = (gateway.ws_url(), Value::from(described).to_string());
    let list = serde_json::to_string(rooms)?;
    let env = [
        ("NATTER_URLS", url.as_str()),
        ("NATTER_ROLES", described.as_str()),
        ("NATTER_ROOMS", list.as_str()),
    ];
    let script = node::start("sdk/permissions.mjs", &[], &env)?;
    let mut found = Answers::new();
    loop {
        let line = script.expect_json(|_| true, Duration::from_secs(30)).await?;
        match line["event"].as_str() {
            Some("answers") => {
                let (role, room) = (line["role"].as_str(), line["room"].as_str());
                let key = (role.context("role")?.to_owned(), room.context("room")?.to_owned());
                found.insert(key, serde_json::from_value(line["answers"].clone())?);
            }
            Some("summary") if line["ok"] == true => return Ok(found),
            _ => bail!("the official client: {line}"),
        }
    }
}

async fn over_http(gateway: &Gateway, rooms: &[String]) -> Result<Answers> {
    let mut found = Answers::new();
    for (role, key) in [("key", Some("natter-tests")), ("no-key", None)] {
        for room in rooms {
            let mut answers = Vec::new();
            for operation in OPERATIONS {
                let mut request = json!({ "channel": room });
                match operation {
                    "subscribe" => request["user"] = json!("nobody"),
                    "publish" => request["data"] = json!(role),
                    _ => {}
                }
                let (status, body) = gateway.api_raw(operation, key, request.to_string()).await?;
                answers.push(match status {
                    200 => answer(&serde_json::from_str(&body)?),
                    _ => status.to_string(),
                });
            }
            found.insert((role.to_owned(), room.clone()), answers);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn every_role_may_do_in_every_room_what_the_table_says() -> Result<()> {
    let table = table()?;
    let answers = table.values().flatten().filter(|answer| *answer != "-").count();
    ensure!(
        table.len() >= LINES && answers >= ANSWERS,
        "{} lines, {answers} answers",
        table.len()
    );
    let mut rooms: Vec<_> = table.keys().map(|(_, room)| room.clone()).collect();
    rooms.sort();
    rooms.dedup();
    let gateway = gateway(CONFIG).await?;
    let roles = roles(&rooms);

    let mut found = by_commands(&gateway, &roles, &rooms).await?;
    found.append(&mut over_http(&gateway, &rooms).await?);
    let wrong = differences(&table, &found);
    ensure!(
        wrong.is_empty(),
        "by commands and over HTTP:\n{}",
        wrong.join("\n")
    );
    ensure!(
        found.len() == table.len(),
        "{} of {} lines were asked",
        found.len(),
        table.len()
    );

    let found = by_the_official_client(&gateway, &roles, &rooms).await?;
    let wrong = differences(&table, &found);
    ensure!(wrong.is_empty(), "by the official client:\n{}", wrong.join("\n"));
    ensure!(
        found.len() == roles.len() * rooms.len(),
        "the official client asked {} lines",
        found.len()
    );
    Ok(())
}

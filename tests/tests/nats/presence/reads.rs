//! Rooms that are read often at a gateway without members of them, which has to ask the others.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::scene::{many, pair, users, wait_count};
use crate::support::{LIMIT, call, connect, done, expect, member, metric};
use crate::users;

const READERS: usize = 20;
/// Commands that a reader sends at once.
const TOGETHER: usize = 50;
/// Members that are read of one room in a second, as documented.
const MEMBERS: usize = 200_000;
/// Rooms that are asked about in a second.
const ROOMS: usize = 4_096;

const BOTH: [&str; 2] = ["presence", "presence_stats"];
/// An answer of large rooms that costs hardly anything to read.
const STATS: [&str; 2] = ["presence_stats"; 2];

/// How reads were answered.
#[derive(Clone, Copy, Default)]
struct Answers {
    right: usize,
    refused: usize,
}

impl Answers {
    /// Right is what `judge` takes.
    fn note(&mut self, reply: &Value, judge: impl Fn(&Value) -> bool) -> Result<()> {
        if reply["error"]["code"] == 111 {
            self.refused += 1;
        } else {
            ensure!(judge(reply), "{reply}");
            self.right += 1;
        }
        Ok(())
    }

    fn all(answers: &[Self]) -> Self {
        answers.iter().fold(Self::default(), |all, one| Self {
            right: all.right + one.right,
            refused: all.refused + one.refused,
        })
    }
}

/// Sends commands in one frame and takes as many replies.
async fn ask(client: &mut Client, commands: &[Value]) -> Result<Vec<Value>> {
    client.send_batch(commands).await?;
    let mut replies = Vec::with_capacity(commands.len());
    while replies.len() < commands.len() {
        replies.push(client.recv_where(|value| value.get("id").is_some()).await?);
    }
    Ok(replies)
}

/// Whether that is said of a room with so many members, each a user of its own.
fn tells(reply: &Value, members: usize) -> bool {
    let stats = &reply["presence_stats"];
    let listed = reply["presence"]["presence"].as_object();
    listed.is_some_and(|listed| listed.len() == members)
        || (stats["num_clients"] == members && stats["num_users"] == members)
}

/// Reads a room of so many members so often, by these commands in turn.
async fn read(
    mut reader: Client,
    (room, members): (&'static str, usize),
    by: [&'static str; 2],
    count: usize,
) -> Result<Answers> {
    let mut answers = Answers::default();
    for _ in 0..count / TOGETHER {
        let commands: Vec<_> = (1..=TOGETHER)
            .map(|id| json!({ "id": id, by[id % 2]: { "channel": room } }))
            .collect();
        for reply in ask(&mut reader, &commands).await? {
            answers.note(&reply, |reply| tells(reply, members))?;
        }
    }
    Ok(answers)
}

/// Questions to all gateways so far.
async fn questions(gateway: &Gateway) -> Result<f64> {
    metric(gateway, "natter_presence_reads_total", &[("source", "elsewhere")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_reads_are_a_question_a_second() -> Result<()> {
    const READS: usize = 10_000;
    const PRESENT: usize = 10;
    let nats = users::server().start().await?;
    let [a, b] = pair(&nats.url()).await?;
    let _users = users(&a, "live:room", PRESENT).await?;
    wait_count(&[&a, &b], "live:room", PRESENT).await?;
    let readers = many(READERS, async |_| connect(&b).await).await?;
    let mut bystander = member(&b, "quiet:other").await?;
    let before = questions(&b).await?;

    let began = Instant::now();
    let reading = readers
        .into_iter()
        .map(|reader| read(reader, ("live:room", PRESENT), BOTH, READS / READERS));
    let reading = tokio::spawn(try_join_all(reading.collect::<Vec<_>>()));
    let mut slowest = Duration::ZERO;
    let mut heard = 0;
    while !reading.is_finished() {
        let said = Instant::now();
        call(&a, "publish", json!({ "channel": "quiet:other", "data": heard })).await?;
        expect(&mut bystander, "quiet:other", &json!(heard)).await?;
        slowest = slowest.max(said.elapsed());
        heard += 1;
    }
    let answers = Answers::all(&reading.await??);
    let took = began.elapsed().as_secs_f64();

    ensure!(answers.right + answers.refused == READS);
    ensure!(
        answers.right > answers.refused,
        "{} of {READS} were refused",
        answers.refused
    );
    let asked = questions(&b).await? - before;
    ensure!(asked <= took + 1.0, "{asked} questions in {took} s");
    ensure!(
        heard > 1 && slowest < Duration::from_secs(2),
        "{heard} publications, the slowest took {slowest:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_room_is_read_so_often_and_no_more() -> Result<()> {
    const READS: usize = 10_000;
    const PRESENT: usize = 500;
    let nats = users::server().start().await?;
    let [a, b] = pair(&nats.url()).await?;
    let _users = users(&a, "quiet:room", PRESENT).await?;
    wait_count(&[&a, &b], "quiet:room", PRESENT).await?;
    let readers = many(READERS, async |_| connect(&b).await).await?;
    let before = questions(&b).await?;
    let began = Instant::now();
    let reading = readers
        .into_iter()
        .map(|reader| read(reader, ("quiet:room", PRESENT), STATS, READS / READERS));
    let answers = Answers::all(&try_join_all(reading).await?);
    let seconds = began.elapsed().as_secs_f64() + 1.0;

    ensure!(answers.right + answers.refused == READS);
    ensure!(answers.right > 0 && answers.refused > 0);
    let asked = questions(&b).await? - before;
    ensure!(asked <= seconds, "{asked} questions in {seconds} s");
    // An answer that was there before serves as well.
    let most = (asked + 1.0) * f64::from(u32::try_from(MEMBERS / PRESENT)?);
    let right = f64::from(u32::try_from(answers.right)?);
    ensure!(right <= most, "{right} reads of {PRESENT} members");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rooms_than_may_be_asked_about_in_a_second_are_refused() -> Result<()> {
    const ASKERS: usize = 8;
    const ASKED: usize = 1_000;
    let nats = users::server().start().await?;
    let [_a, b] = pair(&nats.url()).await?;
    let mut askers = many(ASKERS, async |_| connect(&b).await).await?;
    let before = questions(&b).await?;
    let began = Instant::now();
    let asking = askers.iter_mut().enumerate().map(async |(asker, client)| {
        let commands: Vec<_> = (1..=ASKED)
            .map(|id| json!({ "id": id, "presence_stats": { "channel": format!("live:{asker}-{id}") } }))
            .collect();
        let mut answers = Answers::default();
        for reply in ask(client, &commands).await? {
            answers.note(&reply, |reply| tells(reply, 0))?;
        }
        anyhow::Ok(answers)
    });
    let answers = Answers::all(&try_join_all(asking).await?);
    let seconds = began.elapsed().as_secs_f64().ceil();
    ensure!(
        answers.refused > 0 && answers.right > 0,
        "{} were refused",
        answers.refused
    );
    let asked = questions(&b).await? - before;
    ensure!(
        asked <= seconds * f64::from(u32::try_from(ROOMS)?),
        "{asked} rooms were asked about in {seconds} s"
    );
    // A room that nobody asked about has its turn again when the others have served.
    let client = askers.first_mut().context("nobody asks")?;
    eventually("it is answered", LIMIT, async || {
        let reply = done(client, json!({ "presence_stats": { "channel": "live:late" } })).await?;
        ensure!(tells(&reply, 0), "{reply}");
        Ok(())
    })
    .await
}

//! Somebody on NATS who writes what no gateway would.

use anyhow::{Result, ensure};
use natter_gateway::bus::Subjects;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{LIMIT, PREFIX, expect, gateway, member, metric, publish};
use crate::users;

const MESSAGES: u32 = 500;
/// Lines that one cause may write a second, over the few seconds that this takes.
const MOST_LINES: usize = 100;

#[tokio::test]
async fn garbage_on_nats_is_counted_and_does_not_flood_the_log() -> Result<()> {
    let nats = users::server().start().await?;
    let gateway = gateway("a", nats.url()).await?;
    let mut client = member(&gateway, "room").await?;
    let stranger = async_nats::connect(nats.url()).await?;
    let subjects = Subjects::new(PREFIX);
    for subject in [subjects.ephemeral("room"), subjects.control_all()] {
        for _ in 0..MESSAGES {
            stranger.publish(subject.clone(), "\u{0}garbage".into()).await?;
        }
    }
    stranger.flush().await?;
    let undecodable = [("kind", "undecodable")];
    eventually("all garbage is counted", LIMIT, async || {
        let counted = metric(&gateway, "natter_bus_errors_total", &undecodable).await?;
        ensure!(counted >= f64::from(2 * MESSAGES), "{counted} of it");
        anyhow::Ok(())
    })
    .await?;
    let lines = gateway.logs();
    for message in ["dropped a message of the bus", "dropped a control message"] {
        let lines = lines.iter().filter(|line| line.message() == message).count();
        ensure!(
            (1..=MOST_LINES).contains(&lines),
            "{message:?} was written {lines} times"
        );
    }
    publish(&mut client, "room", json!("sense")).await?;
    expect(&mut client, "room", &json!("sense")).await
}

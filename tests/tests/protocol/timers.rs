//! Pings, pongs and clients that say nothing.

use std::time::Duration;

use anyhow::Result;
use natter_tests::client::Client;
use natter_tests::raw::{Frame, RawSocket};
use serde_json::json;
use tokio::time::Instant;

use crate::raw_member::PATH;
use crate::scene::{Scene, connected};

const SHORT_PINGS: &str = "client: {ping_interval: 2s, pong_timeout: 1500ms}";

#[tokio::test]
async fn a_client_that_never_connects_is_stale() -> Result<()> {
    let scene = Scene::open("client: {stale_timeout: 300ms}").await?;
    let watch = scene.watch().await?;
    let opened = Instant::now();
    let mut client = Client::connect(&scene.gateway.ws_url()).await?;
    assert_eq!(client.close_frame().await?, (3502, "stale".to_owned()));
    assert!(opened.elapsed() >= Duration::from_millis(300));
    watch.cut("stale", 3502).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_is_cut() -> Result<()> {
    let scene = Scene::open(SHORT_PINGS).await?;
    let (mut good, mut bad) = (connected(&scene.gateway).await?, connected(&scene.gateway).await?);
    let watch = scene.watch().await?;
    good.answer_pings(false);
    bad.answer_pings(false);
    let began = Instant::now();
    for number in 0..3 {
        assert_eq!(good.recv().await?, json!({}));
        if number == 0 {
            let passed = began.elapsed();
            // The first comes after a half to one interval, the others after a whole one; the rest is a busy machine.
            assert!(passed >= Duration::from_millis(900), "a ping after {passed:?}");
        }
        good.send_text("{}").await?;
    }
    assert!(
        began.elapsed() >= Duration::from_millis(4800),
        "three pings within {:?}",
        began.elapsed()
    );
    assert_eq!(bad.recv().await?, json!({}));
    assert_eq!(bad.close_frame().await?, (3012, "no pong".to_owned()));
    watch
        .logged(
            "DEBUG",
            "closed",
            &[("reason", json!("no_pong")), ("code", json!(3012))],
        )
        .await?;
    watch.ended("no_pong").await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_second_pong_to_one_ping_is_unrequested() -> Result<()> {
    let scene = Scene::open(SHORT_PINGS).await?;
    let mut client = connected(&scene.gateway).await?;
    let watch = scene.watch().await?;
    client.answer_pings(false);
    assert_eq!(client.recv().await?, json!({}));
    client.send_text("{}\n{}").await?;
    assert_eq!(client.close_frame().await?, (3501, "bad request".to_owned()));
    watch
        .counted("natter_protocol_errors_total", &[("kind", "unexpected_pong")], 1)
        .await?;
    watch.cut("bad_request", 3501).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_socket_that_never_reads_in_a_quiet_room_is_cut_for_want_of_a_pong() -> Result<()> {
    let scene = Scene::open(&format!("{SHORT_PINGS}\n")).await?;
    let mut silent = RawSocket::upgraded(scene.gateway.public(), PATH).await?;
    let watch = scene.watch().await?;
    let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"quiet\"}}";
    silent.write_frame(&Frame::text(commands)).await?;
    // Nothing of it is read until the gateway has given up.
    watch.ended("no_pong").await?;
    watch.counted("natter_subscriptions", &[], 0).await?;
    assert_eq!(silent.read_close().await?, (3012, "no pong".to_owned()));
    scene.untroubled().await
}

/// A peer that is gone without a word must not hold the connection longer than `close_timeout`.
#[tokio::test]
async fn a_close_that_is_never_answered_frees_the_connection() -> Result<()> {
    let scene = Scene::open("client: {close_timeout: 200ms}").await?;
    let mut mute = RawSocket::upgraded(scene.gateway.public(), PATH).await?;
    mute.write_frame(&Frame::text("{\"id\":1,\"ping\":{}}")).await?;
    assert_eq!(mute.read_close().await?, (3501, "bad request".to_owned()));
    assert_eq!(mute.read_to_end().await?, b"");
    scene.untroubled().await
}

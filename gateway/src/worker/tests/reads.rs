//! Clients that read history beside each other.

use std::{rc::Rc, time::Duration};

use tokio::task::yield_now;

use super::fixture::{Fixture, Peer, turns};
use crate::{
    config::{HistoryOptions, HistoryReaders, RoomOptions},
    session::Session,
};

const CONNECT: &str = "{\"id\":1,\"connect\":{}}";

async fn client(fixture: &Fixture) -> (Rc<Session>, Peer) {
    let (session, mut peer) = fixture.open(&[CONNECT]).await;
    while peer.texts().is_empty() {
        yield_now().await;
    }
    (session, peer)
}

/// Pages that came since the last time.
fn pages(peer: &mut Peer) -> usize {
    let pages = |text: &String| text.matches("\"history\":").count();
    peer.texts().iter().map(pages).sum()
}

/// Asks so often, in one message.
fn ask(fixture: &Fixture, session: &Rc<Session>, count: usize) {
    let commands: Vec<_> = (2..count + 2)
        .map(|id| format!("{{\"id\":{id},\"history\":{{\"channel\":\"room\"}}}}"))
        .collect();
    session.hear(&fixture.worker, commands.join("\n").as_bytes());
}

#[tokio::test]
async fn who_asks_much_is_not_before_all_others() {
    let options = |rooms: &mut RoomOptions| {
        rooms.batch_window = Duration::ZERO;
        rooms.history = Some(HistoryOptions {
            read: HistoryReaders::Anyone,
            ..HistoryOptions::default()
        });
    };
    Fixture::run_with(options, async |fixture| {
        let (greedy, mut much) = client(&fixture).await;
        let (modest, mut little) = client(&fixture).await;
        let mut held = fixture.worker.gateway.reads.take_all();
        ask(&fixture, &greedy, 100);
        ask(&fixture, &modest, 1);
        turns(200).await;
        assert_eq!((pages(&mut much), pages(&mut little)), (0, 0), "nothing waits");
        // One turn, which they take one after another.
        drop(held.split(1));
        let mut before = 0;
        while pages(&mut little) == 0 {
            before += pages(&mut much);
            yield_now().await;
        }
        // Four, and what is read until the answer has come.
        assert!(before < 20, "{before} pages came before");
        while before < 100 {
            yield_now().await;
            before += pages(&mut much);
        }
        assert_eq!(before, 100);
    })
    .await;
}

//! Ends that come between the beats of a session's one timer.

use std::{rc::Rc, time::Duration};

use tokio::{task::spawn_local, time::advance};

use super::fixture::{Fixture, Peer, turns};
use crate::{
    clock::unix_now,
    grant::Grant,
    session::{Session, Wish},
};

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

fn unix(seconds: u64) -> u64 {
    unix_now() + seconds
}

async fn connected(fixture: &Fixture) -> (Rc<Session>, Peer) {
    spawn_local(fixture.worker.clone().run_timers());
    let (session, mut peer) = fixture.open(&[CONNECT]).await;
    turns(10).await;
    assert_eq!(peer.texts().len(), 1);
    (session, peer)
}

/// Lets time pass, answering pings; what else came.
async fn pass(peer: &mut Peer, seconds: u64) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..seconds * 2 {
        advance(Duration::from_millis(500)).await;
        turns(10).await;
        for text in peer.texts() {
            if text == "{}" {
                peer.say("{}");
                // Sockets are looked at only now and then while there is always something to do.
                turns(200).await;
            } else {
                texts.push(text);
            }
        }
    }
    texts
}

/// As a client's command joins it.
fn join(fixture: &Fixture, session: &Rc<Session>, id: u32, room: &str, expire_at: u64) {
    let grant = Grant {
        expire_at,
        ..Grant::of(room)
    };
    let mut wish = {
        let live = fixture.worker.live();
        Wish::granted(live.namespace(room).unwrap(), &grant.into())
    };
    wish.slot = Some(session.defer_reply(id));
    session.join(&fixture.worker, room, wish).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_of_the_client_ends_with_2501_and_the_connection_goes_on() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = connected(&fixture).await;
        join(&fixture, &session, 2, "a", unix(40));
        join(&fixture, &session, 3, "b", unix(300));
        turns(10).await;
        let texts = peer.texts();
        assert!(
            texts[0].starts_with("{\"id\":2,\"subscribe\":{\"expires\":true,\"ttl\":"),
            "{texts:?}"
        );
        assert_eq!(pass(&mut peer, 38 + 25).await, [""; 0]);
        let ended = "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2501,\"reason\":\"subscription expired\"}}}";
        assert_eq!(pass(&mut peer, 3).await, [ended]);
        assert_eq!(pass(&mut peer, 60).await, [""; 0]);
        assert!(session.is_connected());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_soonest_end_comes_first_and_beats_stay_as_they_were() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = connected(&fixture).await;
        let worker = &fixture.worker;
        join(&fixture, &session, 2, "a", unix(30));
        session.refresh_by_order(worker, unix(20), &bytes::Bytes::new());
        turns(10).await;
        assert_eq!(peer.texts().len(), 2);
        // It is renewed, so that the room is first now.
        session.refresh_by_order(worker, unix(300), &bytes::Bytes::new());
        assert!(pass(&mut peer, 53).await.concat().contains("\"ttl\":300"));
        assert!(pass(&mut peer, 4).await.concat().contains("2501"));
        peer.may_end = true;
        assert_eq!(pass(&mut peer, 260).await, [""; 0]);
        assert!(session.is_connected(), "it ended early");
        pass(&mut peer, 10).await;
        assert!(!session.is_connected(), "it did not end");
    })
    .await;
}

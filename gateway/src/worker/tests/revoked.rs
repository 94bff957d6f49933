//! Rules that come while something waits for the bus, before the worker is told of them.

use std::{rc::Rc, time::Duration};

use tokio::task::yield_now;

use super::fixture::{Fixture, Peer};
use crate::{
    admission::{Admission, Verdict},
    config::{RoomOptions, Who},
    grant::Grant,
    revocation::Rule,
    session::Session,
};

const ROOM: &str = "room";

/// Ann comes in, with or without the room.
async fn ann(fixture: &Fixture, rooms: Vec<Grant>) -> (Rc<Session>, Peer) {
    let (session, peer) = fixture.open(&[]).await;
    yield_now().await;
    let admission = Admission {
        user: Some("ann".into()),
        rooms,
        ..Admission::default()
    };
    session.connect_by(&fixture.worker, 1, Vec::new(), Verdict::Now(Ok(admission)));
    (session, peer)
}

fn ban(fixture: &Fixture) {
    let rule = Rule::Ban {
        user: "ann".to_owned(),
        channel: ROOM.to_owned(),
    };
    fixture.worker.gateway.revocations.know(rule);
}

/// What comes next, a line for each answer.
async fn answers(peer: &mut Peer) -> String {
    loop {
        yield_now().await;
        let texts = peer.texts();
        if !texts.is_empty() {
            return texts.join("\n");
        }
    }
}

#[tokio::test]
async fn a_join_that_waits_is_judged_when_the_room_is_live() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = ann(&fixture, Vec::new()).await;
        assert!(answers(&mut peer).await.starts_with("{\"id\":1,\"connect\":"));
        let commands = "{\"id\":2,\"subscribe\":{\"channel\":\"room\"}}\n{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":1}}";
        session.hear(&fixture.worker, commands.as_bytes());
        assert!(!fixture.room(ROOM).live.get(), "nothing waits for the bus");
        ban(&fixture);
        let denied = "\"error\":{\"code\":103,\"message\":\"permission denied\"}}";
        assert_eq!(answers(&mut peer).await, format!("{{\"id\":2,{denied}\n{{\"id\":3,{denied}"));
        // Nobody is in it, and it takes nothing from the bus any more.
        assert!(!fixture.worker.rooms.borrow().contains_key(ROOM));
    })
    .await;
}

/// It may come back, and is told of rooms that it may be in.
#[tokio::test]
async fn so_is_a_room_that_comes_with_the_connection() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = ann(&fixture, vec![Grant::of(ROOM)]).await;
        assert!(!fixture.room(ROOM).live.get(), "nothing waits for the bus");
        ban(&fixture);
        peer.may_end = true;
        let text = answers(&mut peer).await;
        assert!(text.contains("\"error\":{\"code\":100,"), "{text}");
        assert!(!session.is_connected());
        assert!(!fixture.worker.rooms.borrow().contains_key(ROOM));
    })
    .await;
}

/// Others are asked who is there; the answer is for somebody who may still have it.
#[tokio::test]
async fn members_are_told_to_nobody_who_was_banned_while_others_were_asked() {
    for command in ["presence", "presence_stats"] {
        let options = |rooms: &mut RoomOptions| {
            rooms.presence = true;
            rooms.presence_read = Who::Anyone;
        };
        Fixture::run_with(options, async |fixture| {
            let (_session, mut peer) = ann(&fixture, Vec::new()).await;
            assert!(answers(&mut peer).await.starts_with("{\"id\":1,\"connect\":"));
            let cluster = &fixture.worker.gateway.cluster;
            let questions = cluster.hold_questions();
            peer.say(&format!("{{\"id\":2,\"{command}\":{{\"channel\":\"{ROOM}\"}}}}"));
            while !cluster.asks_about(ROOM) {
                yield_now().await;
            }
            ban(&fixture);
            drop(questions);
            let denied = "{\"id\":2,\"error\":{\"code\":103,\"message\":\"permission denied\"}}";
            assert_eq!(answers(&mut peer).await, denied);
        })
        .await;
    }
}

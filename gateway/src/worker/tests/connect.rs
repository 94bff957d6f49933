//! Connects that are decided later, and what comes meanwhile.

use std::{rc::Rc, time::Duration};

use natter_protocol::{DisconnectCode, ErrorCode, UnsubscribeCode};
use tokio::{sync::oneshot, task::yield_now};

use super::fixture::{Fixture, Peer, turns};
use crate::{
    admission::{Admission, Denial, Verdict},
    grant::Grant,
    session::Session,
};

type Decision = oneshot::Sender<Result<Admission, Denial>>;

/// Asks somebody who takes their time, as the command with the id 1.
fn undecided(fixture: &Fixture, session: &Rc<Session>) -> Decision {
    let (decision, decided) = oneshot::channel();
    let later = async {
        decided
            .await
            .unwrap_or(Err(Denial::Disconnect(DisconnectCode::ServerError)))
    };
    session.connect_by(&fixture.worker, 1, Vec::new(), Verdict::Later(Box::pin(later)));
    decision
}

async fn texts(peer: &mut Peer, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        yield_now().await;
        texts.extend(peer.texts());
    }
    texts
}

#[tokio::test]
async fn commands_wait_until_it_is_known_who_says_them() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = fixture.open(&[]).await;
        yield_now().await;
        let decision = undecided(&fixture, &session);
        peer.say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}");
        peer.say("{\"id\":4,\"subscribe\":{\"channel\":\"b\"}}");
        turns(50).await;
        assert_eq!(peer.texts(), [""; 0]);
        assert!(!session.is_connected());

        let admission = Admission {
            user: Some("42".into()),
            info: "{\"name\":\"Ann\"}".into(),
            rooms: vec![Grant::of("a#42")],
            ..Admission::default()
        };
        assert!(decision.send(Ok(admission)).is_ok());
        let texts = texts(&mut peer, 5).await;
        assert!(texts[0].starts_with("{\"id\":1,\"connect\":"), "{texts:?}");
        assert!(texts[0].contains("\"subs\":{\"a#42\":{}}"), "{texts:?}");
        assert_eq!(texts[1], "{\"id\":2,\"subscribe\":{}}");
        let rest = texts[2..].join("\n");
        assert!(rest.contains("{\"id\":3,\"publish\":{}}"), "{rest}");
        assert!(rest.contains("{\"id\":4,\"subscribe\":{}}"), "{rest}");
        assert!(rest.contains("\"user\":\"42\""), "{rest}");
        assert!(rest.contains("\"conn_info\":{\"name\":\"Ann\"}"), "{rest}");
    })
    .await;
}

#[tokio::test]
async fn a_denial_is_told_and_ends_the_connection() {
    let error = Denial::Error(ErrorCode::PermissionDenied.into());
    for (denial, said) in [
        (
            error,
            &["{\"id\":1,\"error\":{\"code\":103,\"message\":\"permission denied\"}}"][..],
        ),
        (Denial::Disconnect(DisconnectCode::InvalidToken), &[]),
    ] {
        Fixture::run(Duration::ZERO, async |fixture| {
            let (session, mut peer) = fixture.open(&[]).await;
            yield_now().await;
            let decision = undecided(&fixture, &session);
            peer.say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
            turns(10).await;
            peer.may_end = true;
            assert!(decision.send(Err(denial)).is_ok());
            turns(20).await;
            assert_eq!(peer.texts(), said);
            assert!(!session.is_connected());
            assert_eq!(fixture.worker.gateway.clients.connected(), 0);
        })
        .await;
    }
}

#[tokio::test]
async fn too_much_before_the_decision_ends_the_connection_and_the_asking() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = fixture.open(&[]).await;
        yield_now().await;
        let decision = undecided(&fixture, &session);
        peer.may_end = true;
        let text = format!(
            "{{\"id\":2,\"publish\":{{\"channel\":\"a\",\"data\":\"{}\"}}}}",
            "x".repeat(30_000)
        );
        // As they come out of compressed frames, which are all in one read.
        for _ in 0..9 {
            session.keep(&fixture.worker, text.as_bytes(), 0);
        }
        turns(20).await;
        assert!(decision.is_closed(), "it is still asked for");
    })
    .await;
}

#[tokio::test]
async fn a_room_that_is_left_before_the_answer_is_not_in_it() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = fixture.open(&[]).await;
        yield_now().await;
        let admission = Admission {
            rooms: vec![Grant::of("left"), Grant::of("kept")],
            ..Admission::default()
        };
        session.connect_by(&fixture.worker, 1, Vec::new(), Verdict::Now(Ok(admission)));
        // Both wait for the bus.
        session.unsubscribe_with(&fixture.worker, "left", UnsubscribeCode::Server);
        let texts = texts(&mut peer, 2).await;
        assert!(texts[0].contains("\"subs\":{\"kept\":{}}"), "{texts:?}");
        let kept = fixture.worker.rooms.borrow().contains_key("kept");
        assert!(kept && !fixture.worker.rooms.borrow().contains_key("left"));
    })
    .await;
}

#[tokio::test]
async fn a_room_that_there_is_not_fails_the_connect_as_a_whole() {
    Fixture::run(Duration::ZERO, async |fixture| {
        let (session, mut peer) = fixture.open(&[]).await;
        yield_now().await;
        peer.may_end = true;
        let admission = Admission {
            rooms: vec![Grant::of("a"), Grant::of("nowhere:b")],
            ..Admission::default()
        };
        session.connect_by(&fixture.worker, 1, Vec::new(), Verdict::Now(Ok(admission)));
        turns(20).await;
        let texts = peer.texts();
        assert_eq!(
            texts,
            ["{\"id\":1,\"error\":{\"code\":102,\"message\":\"unknown channel\"}}"]
        );
        assert!(fixture.worker.rooms.borrow().is_empty());
    })
    .await;
}

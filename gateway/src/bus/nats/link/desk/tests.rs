use super::*;
use crate::bus::nats::link::Delivery;

struct Nobody;

impl Taker for Nobody {
    fn take(self: Arc<Self>, _: &Delivery<'_>) {}
}

fn subscribe(desk: &mut Desk, subject: &str) -> Sid {
    desk.subscribe(subject, Arc::new(Nobody))
}

fn written(desk: &mut Desk) -> String {
    String::from_utf8(desk.take_outgoing(Vec::new())).unwrap()
}

/// A desk whose server has taken everything.
fn ready() -> Desk {
    let mut desk = Desk::default();
    desk.open(1_000);
    assert_eq!(written(&mut desk), "PING\r\n");
    assert!(desk.ponged());
    desk
}

#[test]
fn a_link_is_ready_when_the_server_has_taken_all_subscriptions() {
    let mut desk = Desk::default();
    let left = subscribe(&mut desk, "left");
    subscribe(&mut desk, "room");
    desk.unsubscribe(left);
    assert_eq!(written(&mut desk), "", "there is no connection");
    desk.open(1_000);
    assert_eq!(desk.ready(), None);
    assert_eq!(written(&mut desk), "SUB room 1\r\nPING\r\n");
    assert_eq!(desk.ready(), None);
    assert!(desk.ponged() && desk.ready() == Some(1));
    let later = subscribe(&mut desk, "later");
    desk.unsubscribe(later);
    let again = format!("SUB later {0}\r\nUNSUB {0}\r\n", later.0);
    assert_eq!(written(&mut desk), again);
    desk.close();
    assert_eq!(desk.ready(), None);
    desk.open(1_000);
    assert_eq!(written(&mut desk), "SUB room 1\r\nPING\r\n");
    assert!(desk.ponged() && desk.ready() == Some(2));
}

#[test]
fn subscriptions_are_told_in_portions_each_once() {
    let mut desk = Desk::default();
    let sids: Vec<_> = (0..PORTION * 2)
        .map(|number| subscribe(&mut desk, &format!("r{number}")))
        .collect();
    desk.open(1_000);
    let first = written(&mut desk);
    assert_eq!(first.lines().count(), PORTION);
    // One that was told is taken back, one that was not is never told, and new ones take their places.
    desk.unsubscribe(sids[0]);
    desk.unsubscribe(sids[PORTION]);
    let late = subscribe(&mut desk, "late");
    let early = subscribe(&mut desk, "early");
    let rest = [written(&mut desk), written(&mut desk), written(&mut desk)].concat();
    let count = |wanted: &str| rest.lines().filter(|line| *line == wanted).count();
    assert_eq!(count(&format!("UNSUB {}", sids[0].0)), 1);
    assert_eq!(count(&format!("UNSUB {}", sids[PORTION].0)), 0);
    assert_eq!(count(&format!("SUB r{PORTION} {}", sids[PORTION].0)), 0);
    assert_eq!(count(&format!("SUB late {}", late.0)), 1);
    assert_eq!(count(&format!("SUB early {}", early.0)), 1);
    assert_eq!(count("PING"), 1);
    assert_eq!(
        rest.lines().filter(|line| line.starts_with("SUB ")).count(),
        PORTION + 1
    );
}

/// Rooms that many have left leave free places behind.
#[test]
fn free_places_do_not_hold_up_the_telling() {
    let mut desk = Desk::default();
    let mut sids: Vec<_> = (0..PORTION * 3).map(|_| subscribe(&mut desk, "left")).collect();
    subscribe(&mut desk, "room");
    for sid in sids.drain(..) {
        desk.unsubscribe(sid);
    }
    desk.open(1_000);
    assert_eq!(
        written(&mut desk),
        format!("SUB room {}\r\nPING\r\n", PORTION * 3)
    );
}

#[test]
fn questions_follow_subscriptions_and_are_bounded() {
    let mut desk = ready();
    let headers = HeaderMap::new();
    let message = |payload| Outgoing {
        subject: "q",
        reply: Some("inbox.1"),
        headers: &headers,
        payload,
    };
    subscribe(&mut desk, "room");
    desk.publish(&message(b"hi")).unwrap();
    assert_eq!(written(&mut desk), "SUB room 0\r\nPUB q inbox.1 2\r\nhi\r\n");
    assert_eq!(desk.publish(&message(&[0; 1_001])), Err(BusError::TooLarge));
    while desk.publish(&message(&[0; 1_000])).is_ok() {}
    assert_eq!(desk.publish(&message(b"")), Err(BusError::Overloaded));
    assert!(desk.take_outgoing(Vec::new()).len() < MAX_WAITING + 2_000);
    desk.close();
    assert_eq!(desk.publish(&message(b"")), Err(BusError::Disconnected));
}

#[test]
fn a_server_that_does_not_answer_two_pings_is_gone() {
    let mut desk = ready();
    assert!(desk.ping() && desk.ping() && !desk.ping());
    desk.ponged();
    assert!(desk.ping(), "it has answered one");
    // What nobody asked for counts for nothing.
    for _ in 0..9 {
        desk.ponged();
    }
    assert!(desk.ping() && desk.ping() && !desk.ping());
}

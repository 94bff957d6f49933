use std::{collections::VecDeque, future::poll_fn, task::Poll};

use tokio::time::advance;

use super::*;
use crate::{config::Settings, drain::Phase};

/// A gateway without ports or bus, with one worker's inbox, that counts so many connections.
pub(crate) fn gateway(connections: u32) -> Arc<Gateway> {
    let gateway = Gateway::without_bus(Settings::default());
    for _ in 0..connections {
        gateway.open_sockets.fetch_add(1, Ordering::Relaxed);
        gateway.clients.add("", 0).unwrap();
    }
    gateway
}

/// What the worker was told since the last look: windows of drains in seconds, connections to shed, or the end of it.
async fn told(gateway: &Gateway) -> Vec<String> {
    let inbox = gateway.inbox(0);
    let notes = poll_fn(|cx| match inbox.poll_take(cx) {
        Poll::Ready(notes) => Poll::Ready(notes),
        Poll::Pending => Poll::Ready(VecDeque::default()),
    })
    .await;
    let said = |note: &Note| match note {
        Note::Command(command) => match &**command {
            Command::CloseAll(pace) => format!("close all in {:?}", pace.window),
            Command::Shed(shed) => format!("shed {} in {:?}", shed.left(), shed.pace.window),
            Command::StopClosing => "stop".to_owned(),
            Command::Order(_)
            | Command::CountRooms { .. }
            | Command::Emulate { .. }
            | Command::Judge { .. } => "other".to_owned(),
        },
        _ => "other".to_owned(),
    };
    notes.iter().map(said).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_paced_repeatable_and_says_when_it_is_empty() {
    let gateway = gateway(100);
    let control = Arc::new(Control::new(gateway.clone()));
    control.cordon();
    assert!(control.state().cordoned && !control.state().draining);
    control.drain(DrainSpeed::Rate(10.0)).unwrap();
    assert_eq!(told(&gateway).await, ["close all in 10s"]);
    advance(Duration::from_millis(3_500)).await;
    gateway.open_sockets.store(65, Ordering::Relaxed);
    // A new leader of the operator does not know that it was ordered.
    control.drain(DrainSpeed::Rate(10.0)).unwrap();
    assert_eq!(told(&gateway).await, [""; 0]);
    let state = control.state();
    let expected = DrainState {
        rate: Some(10.0),
        ends_in_seconds: 7,
    };
    assert_eq!(state.drain, Some(expected));
    assert!(state.draining && !state.empty && !state.terminating);
    // The budget is larger now: the rest goes at the new pace.
    control.drain(DrainSpeed::Rate(65.0)).unwrap();
    assert_eq!(told(&gateway).await, ["close all in 1s"]);
    gateway.open_sockets.store(0, Ordering::Relaxed);
    assert!(control.state().empty);
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_taken_back_until_sigterm() {
    let gateway = gateway(5);
    let control = Arc::new(Control::new(gateway.clone()));
    control.drain(DrainSpeed::Configured).unwrap();
    control.uncordon().unwrap();
    assert_eq!(told(&gateway).await, ["close all in 20s", "stop"]);
    assert!(!gateway.drain.refuses() && control.state().drain.is_none());
    control.drain(DrainSpeed::Window(Duration::ZERO)).unwrap();
    gateway.drain.advance(Phase::Leaving);
    for conflict in [
        control.uncordon(),
        control.drain(DrainSpeed::Configured),
        control.shed(ShedOrder {
            connections: 1,
            rate: 1.0,
        }),
    ] {
        assert_eq!(conflict, Err(Conflict::Terminating));
    }
    assert!(gateway.drain.refuses());
}

#[tokio::test(start_paused = true)]
async fn one_shed_at_a_time_and_none_in_a_drain() {
    let gateway = gateway(100);
    let control = Arc::new(Control::new(gateway.clone()));
    let order = |connections| ShedOrder {
        connections,
        rate: 5.0,
    };
    control.shed(order(20)).unwrap();
    assert_eq!(told(&gateway).await, ["shed 20 in 4s"]);
    assert_eq!(control.state().shedding, 20);
    assert_eq!(control.shed(order(1)), Err(Conflict::Shedding));
    advance(Duration::from_secs(4)).await;
    assert_eq!(
        control.state().shedding,
        0,
        "what is left when the time is over went by itself"
    );
    control.shed(order(1_000)).unwrap();
    assert_eq!(told(&gateway).await, ["shed 100 in 20s"]);
    control.drain(DrainSpeed::Configured).unwrap();
    assert_eq!(control.shed(order(1)), Err(Conflict::Draining));
    assert_eq!(control.state().shedding, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cordon_ends_a_shed_and_so_does_taking_it_back() {
    let gateway = gateway(100);
    let control = Arc::new(Control::new(gateway.clone()));
    let order = ShedOrder {
        connections: 20,
        rate: 5.0,
    };
    control.shed(order).unwrap();
    control.cordon();
    assert_eq!(told(&gateway).await, ["shed 20 in 4s", "stop"]);
    assert_eq!(control.state().shedding, 0);
    control.cordon();
    assert_eq!(told(&gateway).await, [""; 0], "there is nothing to end");
    control.shed(order).unwrap();
    control.uncordon().unwrap();
    assert_eq!(told(&gateway).await, ["shed 20 in 4s", "stop"]);
    // A cordon is no way to end a drain.
    control.drain(DrainSpeed::Rate(10.0)).unwrap();
    control.cordon();
    assert_eq!(told(&gateway).await, ["close all in 10s"]);
    control.uncordon().unwrap();
    assert_eq!(told(&gateway).await, ["stop"]);
    // The last closes of a process that ends are nobody's to take back.
    control.shed(order).unwrap();
    gateway.drain.advance(Phase::Leaving);
    control.cordon();
    assert_eq!(told(&gateway).await, ["shed 20 in 4s"]);
}

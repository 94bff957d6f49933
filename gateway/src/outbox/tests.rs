use std::io::Read;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{
    frame::DeliveryMark,
    metrics::{Metrics, NamespaceMetrics},
};

async fn pair() -> (Socket, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    (Socket::plain(ours), theirs)
}

fn frame(byte: u8, length: usize) -> Arc<Frame> {
    Arc::new(Frame::from_bytes(vec![byte; length]))
}

fn namespace() -> Arc<NamespaceMetrics> {
    Metrics::new().unwrap().namespace("chat")
}

fn publication(length: usize) -> Arc<Frame> {
    let mark = DeliveryMark {
        namespace: namespace(),
        accepted_at: None,
        span: None,
    };
    Arc::new(Frame::from_bytes(vec![0; length]).with_delivery(mark))
}

#[test]
fn the_bound_counts_the_new_frame() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(publication(60), 100), Ok(()));
    assert_eq!(outbox.push(publication(41), 100), Err(Full));
    assert_eq!(outbox.push(publication(40), 100), Ok(()));
    assert_eq!((outbox.bytes(), outbox.own_bytes()), (100, 0));
}

#[tokio::test]
async fn a_joined_frame_counts_as_its_publications() {
    let (mut socket, _peer) = pair().await;
    let mut outbox = Outbox::default();
    let batch = [publication(10), publication(20)];
    let joined = Arc::new(Frame::joined(batch.iter().map(|part| &**part)));
    outbox.push(joined.clone(), 100).unwrap();
    outbox.push(frame(1, 5), 100).unwrap();
    assert_eq!((outbox.publications(), outbox.bytes()), (2, 35));
    outbox.drop_unbegun(|_| ());
    assert_eq!((outbox.publications(), outbox.bytes()), (0, 0));
    outbox.push(joined, 100).unwrap();
    assert_eq!(outbox.flush(&mut socket, |_| ()).unwrap(), Flushed::Empty);
    assert_eq!(outbox.publications(), 0);
}

#[test]
fn where_nothing_waits_a_frame_of_any_size_is_taken() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(publication(101), 100), Ok(()));
    assert_eq!(outbox.push(publication(1), 100), Err(Full));
    assert_eq!(outbox.push(frame(1, MAX_OWN_BYTES + 1), 100), Ok(()));
    assert_eq!(outbox.push(frame(1, 1), 100), Err(Full));
}

#[tokio::test]
async fn answers_and_publications_are_counted_apart() {
    let (mut socket, mut peer) = pair().await;
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(frame(1, MAX_OWN_BYTES), 100), Ok(()));
    assert_eq!(outbox.push(publication(100), 100), Ok(()));
    assert_eq!(outbox.push(frame(1, 1), 100), Err(Full));
    assert_eq!(outbox.push(publication(1), 100), Err(Full));
    assert_eq!(outbox.own_bytes(), MAX_OWN_BYTES);
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; MAX_OWN_BYTES + 100];
        peer.read_exact(&mut all).unwrap();
    });
    while outbox.flush(&mut socket, |_| ()).unwrap() == Flushed::Blocked {
        assert!(outbox.own_bytes() <= outbox.bytes());
        std::future::poll_fn(|cx| socket.poll_write_ready(cx))
            .await
            .unwrap();
    }
    reader.join().unwrap();
    assert_eq!((outbox.bytes(), outbox.own_bytes(), outbox.own), (0, 0, 0));
}

#[tokio::test]
async fn small_answers_are_bounded_in_number() {
    let (mut socket, _peer) = pair().await;
    let mut outbox = Outbox::default();
    for _ in 0..MAX_OWN_FRAMES {
        outbox.push(frame(1, 2), usize::MAX).unwrap();
    }
    assert_eq!(outbox.push(frame(1, 2), usize::MAX), Err(Full));
    outbox.drop_unbegun(|_| ());
    outbox.push(frame(1, 2), usize::MAX).unwrap();
    assert_eq!(outbox.flush(&mut socket, |_| ()).unwrap(), Flushed::Empty);
    assert_eq!(outbox.own, 0);
}

#[tokio::test]
async fn writes_frames_in_order_and_gives_memory_back() {
    let (mut socket, mut peer) = pair().await;
    let mut outbox = Outbox::default();
    for byte in 0..200 {
        outbox.push(frame(byte, 10), usize::MAX).unwrap();
    }
    let mut seen = 0;
    assert_eq!(outbox.flush(&mut socket, |_| seen += 1).unwrap(), Flushed::Empty);
    assert_eq!(seen, 200);
    assert_eq!(outbox.rest.capacity(), 0);
    let mut received = vec![0; 2000];
    peer.read_exact(&mut received).unwrap();
    assert!(
        received
            .chunks(10)
            .enumerate()
            .all(|(index, chunk)| chunk.iter().all(|&b| usize::from(b) == index))
    );
}

#[tokio::test]
async fn a_full_kernel_blocks_and_only_unbegun_frames_can_be_dropped() {
    let (mut socket, mut peer) = pair().await;
    let mut outbox = Outbox::default();
    let big = 1 << 20;
    for byte in 0..40 {
        outbox.push_last(frame(byte, big));
    }
    assert_eq!(outbox.flush(&mut socket, |_| ()).unwrap(), Flushed::Blocked);
    let begun = outbox.front_written > 0;
    let (waiting, mut dropped) = (1 + outbox.rest.len(), 0);
    outbox.drop_unbegun(|_| dropped += 1);
    assert_eq!(dropped, waiting - usize::from(begun));
    outbox.push_last(frame(99, 5));
    assert_eq!(1 + outbox.rest.len(), 1 + usize::from(begun));

    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    while outbox.flush(&mut socket, |_| ()).unwrap() == Flushed::Blocked {
        std::future::poll_fn(|cx| socket.poll_write_ready(cx))
            .await
            .unwrap();
    }
    drop(socket);
    let all = reader.join().unwrap();
    assert!(all.ends_with(&[99; 5]));
    assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
    assert_eq!((all.len() - 5) % big, 0, "every begun frame is whole");
}

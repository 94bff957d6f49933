use tokio::time::timeout;

use super::*;
use crate::wait::eventually;

const LIMIT: Duration = Duration::from_secs(5);

/// Long enough for loopback to deliver what is not held back.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that sends every byte back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

/// Sends one byte and waits for it; false when the connection is at its end.
async fn answers(socket: &mut TcpStream) -> bool {
    socket.write_all(b"x").await.is_ok() && socket.read_exact(&mut [0]).await.is_ok()
}

#[tokio::test]
async fn a_cut_ends_connections_until_resumed() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut before = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(answers(&mut before).await);
    assert_eq!(proxy.connections(), 1);
    proxy.cut();
    assert!(!timeout(LIMIT, answers(&mut before)).await.unwrap());
    let mut during = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(!timeout(LIMIT, answers(&mut during)).await.unwrap());
    eventually("all are gone", LIMIT, async || proxy.connections() == 0)
        .await
        .unwrap();
    proxy.resume();
    let mut after = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(timeout(LIMIT, answers(&mut after)).await.unwrap());
}

#[tokio::test]
async fn a_pause_holds_bytes_back_and_loses_none() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(answers(&mut socket).await);
    proxy.pause();
    socket.write_all(b"held").await.unwrap();
    let mut bytes = [0; 4];
    assert!(timeout(SILENCE, socket.read_exact(&mut bytes)).await.is_err());
    proxy.resume();
    timeout(LIMIT, socket.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&bytes, b"held");
}

#[tokio::test]
async fn a_delay_counts_in_each_direction() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.delay(Duration::from_millis(50));
    let start = Instant::now();
    assert!(timeout(LIMIT, answers(&mut socket)).await.unwrap());
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_end_of_a_connection_passes_through() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(answers(&mut socket).await);
    socket.shutdown().await.unwrap();
    assert_eq!(timeout(LIMIT, socket.read(&mut [0])).await.unwrap().unwrap(), 0);
    eventually("it is gone", LIMIT, async || proxy.connections() == 0)
        .await
        .unwrap();
}

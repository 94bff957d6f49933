//! Accepting sockets: each worker listens on the public port itself and the kernel spreads connections over them.

use std::{io, net::SocketAddr, os::fd::AsFd, rc::Rc, time::Duration};

use axum::Router;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{net::TcpListener, time::sleep};
use tracing::{Level, warn};

use crate::{
    gateway::Gateway,
    http,
    metrics::{AcceptFailure, Refusal},
    worker::Worker,
};

/// Connections that the kernel keeps for a worker that is busy.
const BACKLOG: i32 = 4_096;
/// Pause after `accept` failed for want of descriptors or memory: trying again at once would only burn the core that
/// the open connections need.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer may take nothing of an HTTP answer that waits for it. hyper would wait for ever.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Smallest buffer for a head that hyper works with, in bytes.
pub const MIN_HEAD_BUFFER: usize = 8 * 1024;

/// Binds `count` sockets to one address; port 0 becomes one free port for all of them.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if address.port() != 0 {
        // Sockets that share a port would also share it with another gateway started by mistake.
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(socket(address, true)?);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        // Accepted sockets inherit both, without a call for each. Frames are written whole at the end of a turn;
        // waiting for more would only delay them.
        socket.set_tcp_nodelay(true)?;
        limit_unread(&socket, Some(UNREAD_TIMEOUT));
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// Lets the kernel reset a connection whose peer takes nothing for so long; `None` takes the limit back.
pub fn limit_unread(socket: &impl AsFd, limit: Option<Duration>) {
    // Without it, on other systems than Linux, only the peer's end frees the socket. It fails only when that came already.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(socket).set_tcp_user_timeout(limit);
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, limit);
}

/// Accepts for as long as the worker lives.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener, router: Router) {
    let gateway = worker.gateway.clone();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(file) = gateway.file_limit.admit() else {
                    gateway.metrics.connections.refused(Refusal::FileLimit);
                    if gateway.log_budget.cause("file_limit", Level::WARN).admit() {
                        warn!("the limit of open files is reached; closed a socket unheard");
                    }
                    continue;
                };
                tokio::task::spawn_local(http::serve(
                    worker.clone(),
                    router.clone(),
                    (stream, peer.ip()),
                    file,
                ));
            }
            Err(error) => failed(&gateway, &error).await,
        }
    }
}

/// Counts and logs that `accept` failed, and waits where trying again at once would not help.
pub async fn failed(gateway: &Gateway, error: &io::Error) {
    let failure = AcceptFailure::of(error);
    gateway.metrics.connections.accept_failed(failure);
    if gateway.log_budget.cause("accept", Level::WARN).admit() {
        warn!(%error, "cannot accept a connection");
    }
    if failure != AcceptFailure::Aborted {
        sleep(EXHAUSTED_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_inherit_what_their_listener_sets() {
        let listener = socket("127.0.0.1:0".parse().unwrap(), true).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(
            SockRef::from(&stream).tcp_user_timeout().unwrap(),
            Some(UNREAD_TIMEOUT)
        );
    }

    #[test]
    fn workers_share_a_port_that_nobody_else_gets() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert!(
            listeners
                .iter()
                .all(|listener| listener.local_addr().unwrap() == address)
        );
        let error = bind(address, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}

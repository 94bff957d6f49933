//! A TCP proxy between a gateway and its bus whose faults the test controls.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Chunks under way in one direction of one connection; a full queue holds the sender back, as a full network would.
const UNDER_WAY: usize = 1024;

/// How the network behaves at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Network {
    /// Bytes pass.
    Open,
    /// Connections stay, nothing passes: a black hole.
    Paused,
    /// Connections are ended, new ones are ended at once.
    Cut,
}

/// A proxy of this test; dropping it ends its connections.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    delay: watch::Sender<Delay>,
    connections: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on a free loopback port that connects to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        Self::among(vec![target]).await
    }

    /// The same for several targets, which new connections go to in turn.
    async fn among(targets: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot bind the proxy")?;
        let address = listener.local_addr().context("cannot read the proxy's address")?;
        let (network, delay) = (
            watch::Sender::new(Network::Open),
            watch::Sender::new(Delay::default()),
        );
        let (count, connections) = watch::channel(0);
        let link = Link {
            network: network.subscribe(),
            delay: delay.subscribe(),
        };
        let task = tokio::spawn(serve(listener, targets, link, count));
        Ok(Self {
            address,
            network,
            delay,
            connections,
            task,
        })
    }

    /// Starts a proxy in front of a local server's port.
    pub async fn to_port(port: u16) -> Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Starts a proxy in front of several local servers' ports, a balancer: new connections go to them in turn.
    pub async fn to_ports(ports: &[u16]) -> Result<Self> {
        let address = |&port: &u16| (Ipv4Addr::LOCALHOST, port).into();
        Self::among(ports.iter().map(address).collect()).await
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that are open now.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Ends all connections and each new one, until [`resume`](Self::resume).
    pub fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    /// Lets nothing pass without ending a connection, until [`resume`](Self::resume); what is sent meanwhile is kept.
    pub fn pause(&self) {
        self.network.send_replace(Network::Paused);
    }

    /// Lets bytes and new connections pass again.
    pub fn resume(&self) {
        self.network.send_replace(Network::Open);
    }

    /// Delivers everything read from now on this much later, in each direction, without lowering throughput.
    pub fn delay(&self, delay: Duration) {
        self.delay.send_replace(Delay {
            there: delay,
            back: delay,
        });
    }

    /// The same with a delay for each direction: towards the target, and back.
    pub fn delays(&self, there: Duration, back: Duration) {
        self.delay.send_replace(Delay { there, back });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How much later bytes are delivered.
#[derive(Clone, Copy, Default)]
struct Delay {
    there: Duration,
    back: Duration,
}

/// What every direction of every connection watches.
#[derive(Clone)]
struct Link {
    network: watch::Receiver<Network>,
    delay: watch::Receiver<Delay>,
}

impl Link {
    /// Waits until the network is in the state asked for; never, once the proxy is gone.
    async fn until(&mut self, state: impl Fn(Network) -> bool) {
        if self.network.wait_for(|&network| state(network)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn serve(listener: TcpListener, targets: Vec<SocketAddr>, link: Link, count: watch::Sender<usize>) {
    let mut open = JoinSet::new();
    let mut turns = targets.iter().cycle();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that left before it was accepted is no reason to stop.
                if let (Ok((client, _)), Some(&target)) = (accepted, turns.next()) {
                    open.spawn(connection(client, target, link.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
        count.send_replace(open.len());
    }
}

/// Carries one connection until either side, an error or a cut ends it.
async fn connection(client: TcpStream, target: SocketAddr, mut link: Link) {
    let (mut up, mut down) = (link.clone(), link.clone());
    let carried = async {
        let server = TcpStream::connect(target).await?;
        // Without it, a small delay would become the kernel's 40 ms of waiting for more to send.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((client_read, client_write), (server_read, server_write)) =
            (client.into_split(), server.into_split());
        tokio::try_join!(
            carry(client_read, server_write, &mut up, |delay| delay.there),
            carry(server_read, client_write, &mut down, |delay| delay.back)
        )
    };
    tokio::select! {
        // Cut first: a new connection of a cut network must not reach the server.
        biased;
        () = link.until(|network| network == Network::Cut) => {}
        _ = carried => {}
    }
}

/// One direction: bytes are stamped when read and written when their time has come and the network is open.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: &mut Link,
    own: fn(&Delay) -> Duration,
) -> std::io::Result<()> {
    let delay = link.delay.clone();
    let (queue, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        loop {
            let mut bytes = vec![0; CHUNK];
            let length = from.read(&mut bytes).await?;
            bytes.truncate(length);
            let due = Instant::now() + own(&delay.borrow());
            if length == 0 || queue.send((due, bytes)).await.is_err() {
                return std::io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = under_way.recv().await {
            sleep_until(due).await;
            link.until(|network| network == Network::Open).await;
            to.write_all(&bytes).await?;
        }
        link.until(|network| network == Network::Open).await;
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests;

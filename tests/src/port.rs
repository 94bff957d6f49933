//! Ports that stay ours while the server that uses them is down.
//!
//! A server on port 0 loses its port when it stops: another test's outgoing connection may take it before the restart.
//! So the test binds the port itself, with `SO_REUSEADDR` and without listening, and hands the number to the child.
//! Linux then lets a child that sets `SO_REUSEADDR` too (Go, tokio and std do) listen there, while the kernel gives the
//! port to nobody who asks for any free one. Connecting to a reserved port nobody listens on is refused, as it should be.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// A loopback port held for the children of one test.
pub struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    /// Takes a free port of 127.0.0.1.
    pub fn take() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("cannot create a socket")?;
        // Both options: a server that listens with SO_REUSEPORT needs it here as well.
        socket
            .set_reuse_address(true)
            .context("cannot set SO_REUSEADDR")?;
        socket.set_reuse_port(true).context("cannot set SO_REUSEPORT")?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket
            .bind(&any.into())
            .context("cannot reserve a loopback port")?;
        let address = socket.local_addr().context("cannot read the reserved port")?;
        let address = address
            .as_socket()
            .context("the reserved port has no internet address")?;
        Ok(Self {
            address,
            _socket: socket,
        })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.address.port()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_server_listens_on_it_again_and_again() {
        let port = ReservedPort::take().unwrap();
        for _ in 0..3 {
            assert!(TcpStream::connect(port.address()).is_err(), "nobody listens yet");
            let listener = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
            drop(listener);
        }
    }
}

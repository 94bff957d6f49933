//! The byte side of a connection: the one place that knows what carries the bytes.
//!
//! Reading is driven by the session's task, writing by the worker's flush; both run on one thread, so no lock and
//! no split of the stream is needed. TLS becomes a second variant here; nothing above sees the difference.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

/// A connected, non-blocking byte stream.
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub fn plain(stream: TcpStream) -> Self {
        Self { stream }
    }

    /// Address of the other end, for log lines.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Reads what is there into `buffer`; `Ok(0)` is the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes as much as the kernel takes now. `WouldBlock` says to wait for [`Socket::poll_write_ready`].
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.stream.try_write(one),
            many => self.stream.try_write_vectored(many),
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Tells the peer that nothing more comes, while its last bytes are still read: dropping the socket with unread
    /// input would send a reset that can overtake the close frame.
    pub fn finish_writing(&self) {
        // An error means that the peer is gone already, which is what the caller wants to reach.
        let _ = socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }
}

//! The byte side of a connection: the one place that knows what carries the bytes.
//!
//! Reading is driven by the session's task, writing by the worker's flush; both run on one thread, so no lock and
//! no split of the stream is needed. What TLS needs is in a box of its own, so that a plain socket is no larger for it; nothing
//! above sees the difference.

mod tls;

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::rustls::ServerConnection;

use self::tls::TlsStream;

/// A connected, non-blocking byte stream.
pub struct Socket(Carrier);

enum Carrier {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Socket {
    pub fn plain(stream: TcpStream) -> Self {
        Self(Carrier::Plain(stream))
    }

    /// After the handshake.
    pub fn tls(stream: TcpStream, connection: ServerConnection) -> Self {
        Self(Carrier::Tls(Box::new(TlsStream::new(stream, connection))))
    }

    /// Reads what is there into `buffer`; `Ok(0)` is the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Carrier::Plain(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Carrier::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// Writes as much as the kernel takes now. `WouldBlock` says to wait for [`Socket::poll_write_ready`]. With TLS a little more
    /// may be taken than the kernel takes: see [`Socket::try_flush`].
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&mut self.0, slices) {
            (Carrier::Plain(stream), [one]) => stream.try_write(one),
            (Carrier::Plain(stream), many) => stream.try_write_vectored(many),
            (Carrier::Tls(stream), slices) => stream.try_write(slices),
        }
    }

    /// Hands the kernel what was taken and encrypted; `WouldBlock` as above.
    pub fn try_flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Carrier::Plain(_) => Ok(()),
            Carrier::Tls(stream) => stream.try_flush(),
        }
    }

    /// Whether something was taken that the kernel has not got yet.
    pub fn has_pending(&self) -> bool {
        match &self.0 {
            Carrier::Plain(_) => false,
            Carrier::Tls(stream) => stream.has_pending(),
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    /// Tells the peer that nothing more comes, while its last bytes are still read: dropping the socket with unread
    /// input would send a reset that can overtake the close frame.
    pub fn finish_writing(&mut self) {
        if let Carrier::Tls(stream) = &mut self.0 {
            stream.say_the_end();
        }
        // An error means that the peer is gone already, which is what the caller wants to reach.
        let _ = socket2::SockRef::from(self.stream()).shutdown(Shutdown::Write);
    }

    fn stream(&self) -> &TcpStream {
        match &self.0 {
            Carrier::Plain(stream) => stream,
            Carrier::Tls(stream) => stream.stream(),
        }
    }

    /// Tries until it succeeds or the kernel takes no more.
    fn poll_try<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match attempt(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

/// For hyper, before the upgrade.
impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Carrier::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Carrier::Tls(stream) => {
                let read = ready!(stream.poll_read(cx, buffer.initialize_unfilled()))?;
                buffer.advance(read);
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// As above.
impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_try(cx, |socket| socket.try_write(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_try(cx, Self::try_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        ready!(socket.poll_try(cx, Self::try_flush))?;
        socket.finish_writing();
        Poll::Ready(Ok(()))
    }
}

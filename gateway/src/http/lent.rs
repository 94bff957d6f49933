//! A socket that hyper serves and that is taken back from it: by a WebSocket, or by an answer that never ends.

use std::{
    io::{Error, ErrorKind, Result},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use crate::socket::Socket;

/// Both ends of the loan. One thread has both; the lock is what hyper asks of a socket that it may give to others.
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<Option<TokioIo<Socket>>>>);

impl Lent {
    pub(super) fn new(socket: Socket) -> Self {
        Self(Arc::new(Mutex::new(Some(TokioIo::new(socket)))))
    }

    /// Ends the loan; `None` when it has ended already.
    pub(super) fn take(&self) -> Option<Socket> {
        self.0.lock().take().map(TokioIo::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut TokioIo<Socket>>) -> Poll<Result<T>>) -> Poll<Result<T>> {
        match &mut *self.0.lock() {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(Error::from(ErrorKind::NotConnected))),
        }
    }
}

impl Read for Lent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl Write for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bytes))
    }
}

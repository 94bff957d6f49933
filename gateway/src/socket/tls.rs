//! A TCP stream with TLS on it, driven as the sessions drive it: reads by a poll, writes by attempts.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

/// Bytes that are taken at once, and that may wait encrypted for the kernel: what is beyond stays in the outbox, where its bounds
/// hold.
const PENDING: usize = 32 * 1024;

pub(super) struct TlsStream {
    stream: TcpStream,
    connection: ServerConnection,
}

impl TlsStream {
    pub(super) fn new(stream: TcpStream, mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(PENDING));
        Self { stream, connection }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn has_pending(&self) -> bool {
        self.connection.wants_write()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end without the alert that announces it: frames say by themselves whether they are whole.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                result => return Poll::Ready(result),
            }
            ready!(self.stream.poll_read_ready(cx))?;
            match self.connection.read_tls(&mut Kernel(&self.stream)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                result => result?,
            };
            let processed = self.connection.process_new_packets();
            // An alert that says what is wrong, or an answer to TLS itself, which else goes with the next bytes.
            let flushed = self.try_flush();
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            match flushed {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_flush()?;
        let mut writer = self.connection.writer();
        let taken = match slices {
            [one] => writer.write(one),
            many => writer.write_vectored(many),
        }?;
        match self.try_flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut Kernel(&self.stream))? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Tells the peer that the end is meant. One that takes nothing is not waited for.
    pub(super) fn say_the_end(&mut self) {
        self.connection.send_close_notify();
        let _ = self.try_flush();
    }
}

/// The stream as rustls uses it.
struct Kernel<'a>(&'a TcpStream);

impl Read for Kernel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! What waits to be written to one socket: pointers to finished frames, bounded in bytes.
//!
//! Publications are shared with other sockets; every other frame is kept for this one alone and costs some 300 bytes of
//! memory however short it is. Those are bounded in number as well, or a client that sends commands or pings and reads
//! no answers would hold ten times the bytes that are counted. They are counted apart: the answer to a join may bring far
//! more than a reader's queue, and who is still reading it is not too slow for what is said meanwhile.
//!
//! An emptied outbox gives its memory back, so an idle connection keeps none; a frame that waits alone, which is what a
//! quiet room brings, takes none either.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    sync::Arc,
};

use crate::{frame::Frame, history::MAX_PAGE_BYTES, socket::Socket};

/// Frames handed to the kernel in one call; more gains nothing (measured: 32 frames already cost 12–25 times less
/// each than one).
const FRAMES_PER_WRITE: usize = 64;
/// Frames of this socket alone that may wait.
const MAX_OWN_FRAMES: u32 = 4_096;
/// Their bytes: a page, whatever is around its payloads, and small answers.
const MAX_OWN_BYTES: usize = 2 * MAX_PAGE_BYTES;

#[derive(Default)]
pub struct Outbox {
    front: Option<Arc<Frame>>,
    /// Behind the front; empty when there is none.
    rest: VecDeque<Arc<Frame>>,
    /// Unwritten bytes, the rest of a half-written front frame included.
    bytes: usize,
    /// Bytes of the front frame that the kernel has taken already.
    front_written: usize,
    publications: usize,
    /// Frames that no other socket shares.
    own: u32,
    /// Their unwritten bytes.
    own_bytes: usize,
}

/// The frame would not fit: the reader is too slow.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything was handed to the kernel.
    Empty,
    /// The kernel's buffer is full; wait until the socket is writable.
    Blocked,
}

impl Outbox {
    /// Queues `frame` unless more than `limit` bytes of publications would wait, the new one counted, or too many answers.
    /// Where no other of its kind waits a frame of any size is taken: a large message says nothing about its reader.
    pub fn push(&mut self, frame: Arc<Frame>, limit: usize) -> Result<(), Full> {
        let length = frame.bytes().len();
        let is_full = if is_own(&frame) {
            self.own >= MAX_OWN_FRAMES || (self.own > 0 && self.own_bytes + length > MAX_OWN_BYTES)
        } else {
            self.publications > 0 && self.bytes - self.own_bytes + length > limit
        };
        if is_full {
            return Err(Full);
        }
        self.push_last(frame);
        Ok(())
    }

    /// Queues `frame` unless more than `limit` bytes would wait, of whatever kind, or many frames of this socket alone.
    pub fn push_spare(&mut self, frame: Arc<Frame>, limit: usize) -> bool {
        let is_full = self.bytes + frame.bytes().len() > limit || self.own >= MAX_OWN_FRAMES / 2;
        let taken = self.front.is_none() || !is_full;
        if taken {
            self.push_last(frame);
        }
        taken
    }

    /// Queues the frame that ends the connection, whatever waits before it.
    pub fn push_last(&mut self, frame: Arc<Frame>) {
        self.bytes += frame.bytes().len();
        self.publications += frame.deliveries().len();
        if is_own(&frame) {
            self.own += 1;
            self.own_bytes += frame.bytes().len();
        }
        if self.front.is_none() {
            self.front = Some(frame);
        } else {
            self.rest.push_back(frame);
        }
    }

    /// Lets go of everything that has not begun to be written; `dropped` sees each of these frames.
    pub fn drop_unbegun(&mut self, mut dropped: impl FnMut(&Frame)) {
        let front = if self.front_written > 0 {
            None
        } else {
            self.front.take()
        };
        for frame in front.into_iter().chain(std::mem::take(&mut self.rest)) {
            self.bytes -= frame.bytes().len();
            if is_own(&frame) {
                self.own_bytes -= frame.bytes().len();
            }
            self.forget(&frame);
            dropped(&frame);
        }
    }

    /// Lets go of everything, a frame that was written in part included.
    pub fn clear(&mut self, mut dropped: impl FnMut(&Frame)) {
        let Self { front, rest, .. } = std::mem::take(self);
        for frame in front.into_iter().chain(rest) {
            dropped(&frame);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// Publications that wait here.
    pub fn publications(&self) -> usize {
        self.publications
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Unwritten bytes of frames that no other socket shares.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Writes until the outbox is empty, and the socket with it, or the kernel takes no more; `written` sees every frame that
    /// went out whole.
    pub fn flush(&mut self, socket: &mut Socket, mut written: impl FnMut(&Frame)) -> io::Result<Flushed> {
        while self.front.is_some() {
            let taken = match self.write(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(taken, &mut written);
        }
        self.rest = VecDeque::new();
        match socket.try_flush() {
            Ok(()) => Ok(Flushed::Empty),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Flushed::Blocked),
            Err(error) => Err(error),
        }
    }

    fn write(&self, socket: &mut Socket) -> io::Result<usize> {
        match &self.front {
            Some(front) if self.rest.is_empty() => {
                socket.try_write(&[IoSlice::new(&front.bytes()[self.front_written..])])
            }
            _ => {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                let count = self.fill(&mut slices);
                socket.try_write(&slices[..count])
            }
        }
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.front_written;
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(self.front.iter().chain(&self.rest)) {
            *slice = IoSlice::new(&frame.bytes()[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut taken: usize, written: &mut impl FnMut(&Frame)) {
        self.bytes -= taken;
        while let Some(front) = &self.front {
            let rest = front.bytes().len() - self.front_written;
            let part = taken.min(rest);
            taken -= part;
            if is_own(front) {
                self.own_bytes -= part;
            }
            if part < rest {
                self.front_written += part;
                break;
            }
            self.front_written = 0;
            let front = std::mem::replace(&mut self.front, self.rest.pop_front());
            if let Some(front) = front {
                self.forget(&front);
                written(&front);
            }
        }
    }

    /// The frame waits no more.
    fn forget(&mut self, frame: &Frame) {
        self.publications -= frame.deliveries().len();
        self.own -= u32::from(is_own(frame));
    }
}

/// Whether the frame was made for one socket and carries no publication.
fn is_own(frame: &Frame) -> bool {
    frame.deliveries().is_empty()
}

#[cfg(test)]
mod tests;

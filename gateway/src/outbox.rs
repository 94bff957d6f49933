//! What waits to be written to one socket: pointers to finished frames, bounded in bytes.
//!
//! Publications are shared with other sockets; every other frame is kept for this one alone and costs some 300 bytes of
//! memory however short it is. Those are bounded in number as well, or a client that sends commands or pings and reads
//! no answers would hold ten times the bytes that are counted.
//!
//! An emptied outbox gives its memory back, so an idle connection keeps none.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    sync::Arc,
};

use crate::{frame::Frame, socket::Socket};

/// Frames handed to the kernel in one call; more gains nothing (measured: 32 frames already cost 12–25 times less
/// each than one).
const FRAMES_PER_WRITE: usize = 64;
/// Frames of this socket alone that may wait.
const MAX_OWN_FRAMES: u32 = 4_096;

#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Arc<Frame>>,
    /// Unwritten bytes, the rest of a half-written front frame included.
    bytes: usize,
    /// Bytes of the front frame that the kernel has taken already.
    front_written: usize,
    /// Frames that no other socket shares.
    own: u32,
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
    /// Queues `frame` unless more than `limit` bytes would wait, the new frame counted, or too many small answers. An empty
    /// outbox takes a frame of any size: a large message says nothing about its reader.
    pub fn push(&mut self, frame: Arc<Frame>, limit: usize) -> Result<(), Full> {
        let bytes = self.bytes + frame.bytes().len();
        if (bytes > limit || self.own >= MAX_OWN_FRAMES) && !self.is_empty() {
            return Err(Full);
        }
        self.push_last(frame);
        Ok(())
    }

    /// Queues the frame that ends the connection, whatever waits before it.
    pub fn push_last(&mut self, frame: Arc<Frame>) {
        self.bytes += frame.bytes().len();
        self.own += is_own(&frame);
        self.queue.push_back(frame);
    }

    /// Lets go of everything that has not begun to be written; `dropped` sees each of these frames.
    pub fn drop_unbegun(&mut self, mut dropped: impl FnMut(&Frame)) {
        for frame in self.queue.drain(usize::from(self.front_written > 0)..) {
            self.bytes -= frame.bytes().len();
            self.own -= is_own(&frame);
            dropped(&frame);
        }
    }

    /// Lets go of everything, a frame that was written in part included.
    pub fn clear(&mut self, mut dropped: impl FnMut(&Frame)) {
        for frame in std::mem::take(self).queue {
            dropped(&frame);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Publications that wait here.
    pub fn publications(&self) -> usize {
        self.queue.len() - self.own as usize
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes until the outbox is empty or the kernel takes no more; `written` sees every frame that went out whole.
    pub fn flush(&mut self, socket: &Socket, mut written: impl FnMut(&Frame)) -> io::Result<Flushed> {
        while !self.queue.is_empty() {
            let taken = {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                let count = self.fill(&mut slices);
                match socket.try_write(&slices[..count]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(taken) => taken,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
            };
            self.advance(taken, &mut written);
        }
        self.queue = VecDeque::new();
        Ok(Flushed::Empty)
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.front_written;
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(&frame.bytes()[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    fn advance(&mut self, taken: usize, written: &mut impl FnMut(&Frame)) {
        self.bytes -= taken;
        self.front_written += taken;
        while let Some(front) = self.queue.front() {
            let length = front.bytes().len();
            if self.front_written < length {
                break;
            }
            self.front_written -= length;
            self.own -= is_own(front);
            written(front);
            self.queue.pop_front();
        }
    }
}

/// 1 for a frame that was made for one socket, 0 for a publication.
fn is_own(frame: &Frame) -> u32 {
    u32::from(frame.delivery().is_none())
}

#[cfg(test)]
mod tests;

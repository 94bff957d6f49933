//! What changed from one message to the next, in the delta format of Fossil, which the SDKs undo
//! (`delta: "fossil"` of a subscription).
//!
//! The format is described at <https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki>: the length of the target,
//! then pieces that are copied from the origin (`length@offset,`) or given (`length:bytes`), then a checksum of the
//! target; numbers are written to base 64. A decoder does not care how pieces were found, so this is not Fossil's way of
//! finding them: what both texts have in common in front and at the end is taken at once, and only between that are
//! blocks of the origin looked up. One changed field in a large document costs little more than reading both.
//!
//! Written here because the one crate for it (`fossil-delta`) is a port of Fossil's own code, made for files: it compares up
//! to 250 places for one, and it cuts characters. A JSON client gets a delta as text, so what is given must be whole
//! characters; here a delta between UTF-8 texts is UTF-8.
//!
//! A delta does not pay when the texts have little in common, and hardly ever below 30 bytes: it may be some 20 bytes
//! longer than the target. Whoever calls compares the lengths and sends the whole instead.

mod index;

use index::{Index, WINDOW};

/// Digits of numbers.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
/// What a copy takes beside its two numbers: its own signs, and the length and sign of the given piece behind it.
const COPY_COST: usize = 5;
/// Bytes of a character behind its first.
const MAX_CONTINUATION: usize = 3;

/// Writes the delta that makes `target` of `origin`. Takes time in proportion to their lengths, at worst about 20 µs for
/// a KiB of either, and at most 512 KiB of memory beside the delta.
pub fn encode(origin: &[u8], target: &[u8]) -> Vec<u8> {
    let prefix = common_prefix(origin, target);
    let suffix = common_suffix(&origin[prefix..], &target[prefix..]);
    let middle_end = target.len() - suffix;
    let mut delta = Delta::new(target);
    delta.copy(Match {
        start: 0,
        end: prefix,
        offset: 0,
    });
    delta.search(origin, prefix, middle_end);
    delta.copy(Match {
        start: middle_end,
        end: target.len(),
        offset: origin.len() - suffix,
    });
    delta.finish()
}

/// A part of the target that is in the origin too, at `offset`.
#[derive(Clone, Copy)]
struct Match {
    start: usize,
    end: usize,
    offset: usize,
}

/// A delta being written, its pieces in the order of the target.
struct Delta<'t> {
    target: &'t [u8],
    out: Vec<u8>,
    /// How much of the target has its pieces.
    done: usize,
}

impl<'t> Delta<'t> {
    fn new(target: &'t [u8]) -> Self {
        let mut out = Vec::new();
        put_number(&mut out, target.len());
        out.push(b'\n');
        Self { target, out, done: 0 }
    }

    /// Copies what is in both, unless it is too short to gain anything. Returns the end of what was copied.
    fn copy(&mut self, found: Match) -> Option<usize> {
        let found = self.whole_characters(found);
        let len = found.end.checked_sub(found.start)?;
        if len <= COPY_COST + digits(len) + digits(found.offset) {
            return None;
        }
        self.give(found.start);
        put_number(&mut self.out, len);
        self.out.push(b'@');
        put_number(&mut self.out, found.offset);
        self.out.push(b',');
        self.done = found.end;
        Some(found.end)
    }

    /// Gives what has no piece yet before `end`.
    fn give(&mut self, end: usize) {
        if let Some(bytes) = self.target.get(self.done..end).filter(|bytes| !bytes.is_empty()) {
            put_number(&mut self.out, bytes.len());
            self.out.push(b':');
            self.out.extend_from_slice(bytes);
        }
        self.done = end;
    }

    /// Looks for parts of the target between `at` and `end` in the origin.
    fn search(&mut self, origin: &[u8], mut at: usize, end: usize) {
        if end.saturating_sub(at) < WINDOW {
            return;
        }
        let index = Index::new(origin);
        while let Some(rest) = self.target.get(at..end).filter(|rest| rest.len() >= WINDOW) {
            let found = index.longest(rest).map(|(offset, len)| {
                // What comes before it may be the same too.
                let before = common_suffix(&origin[..offset], &self.target[self.done..at]);
                Match {
                    start: at - before,
                    end: at + len,
                    offset: offset - before,
                }
            });
            at = found.and_then(|found| self.copy(found)).unwrap_or(at + 1);
        }
    }

    /// Leaves out parts of characters at either end. What is not UTF-8 is left as it is.
    fn whole_characters(&self, found: Match) -> Match {
        let is_boundary = |at: &usize| !matches!(self.target.get(*at), Some(0x80..=0xbf));
        let start = (found.start..)
            .take(MAX_CONTINUATION + 1)
            .find(is_boundary)
            .unwrap_or(found.start);
        let end = (0..=found.end)
            .rev()
            .take(MAX_CONTINUATION + 1)
            .find(is_boundary)
            .unwrap_or(found.end);
        Match {
            start,
            end,
            offset: found.offset + (start - found.start),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.give(self.target.len());
        put_number(&mut self.out, checksum(self.target) as usize);
        self.out.push(b';');
        self.out
    }
}

/// Most significant digit first, without leading zeros.
fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend(
        (0..digits(number))
            .rev()
            .map(|digit| DIGITS[(number >> (6 * digit)) & 63]),
    );
}

/// Digits that a number takes.
fn digits(number: usize) -> usize {
    number.checked_ilog2().map_or(1, |bits| bits as usize / 6 + 1)
}

/// The sum of the target's big-endian words, zeros behind the last.
fn checksum(target: &[u8]) -> u32 {
    let (words, rest) = target.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words
        .iter()
        .chain([&last])
        .fold(0, |sum, word| sum.wrapping_add(u32::from_be_bytes(*word)))
}

/// How many bytes both begin with.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let words = 8 * a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count();
    words
        + a[words..]
            .iter()
            .zip(&b[words..])
            .take_while(|(a, b)| a == b)
            .count()
}

/// How many bytes both end with.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.as_rchunks::<8>().1, b.as_rchunks::<8>().1);
    let words = 8 * a_words
        .iter()
        .rev()
        .zip(b_words.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (&a[..a.len() - words], &b[..b.len() - words]);
    words
        + a.iter()
            .rev()
            .zip(b.iter().rev())
            .take_while(|(a, b)| a == b)
            .count()
}

#[cfg(test)]
mod tests;

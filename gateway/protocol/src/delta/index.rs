//! Where in the origin a few bytes are found: a hash table of its blocks.

use super::common_prefix;

/// Bytes that are hashed, and the shortest match that is found.
pub(super) const WINDOW: usize = 8;
/// From one block of the origin to the next. Matches of `WINDOW + STRIDE - 1` bytes are always found.
const STRIDE: usize = 4;
/// Blocks that are looked at for one place of the target; with equal bytes everywhere they all have one hash.
const MAX_CHAIN: usize = 16;
/// Blocks in the table, which takes 8 bytes for each: those of the first 256 KiB. What comes behind them is found only
/// where it follows a match.
const MAX_BLOCKS: u32 = 1 << 16;
/// The end of a chain; no block has this number.
const NONE: u32 = u32::MAX;

/// The blocks of an origin by their hash.
pub(super) struct Index<'o> {
    origin: &'o [u8],
    /// The first block with a hash.
    heads: Vec<u32>,
    /// The next block with the same hash, for each block.
    next: Vec<u32>,
    /// Leaves as many bits of a hash as the table of heads takes.
    shift: u32,
}

impl<'o> Index<'o> {
    pub(super) fn new(origin: &'o [u8]) -> Self {
        let windows = (origin.len() + STRIDE).saturating_sub(WINDOW) / STRIDE;
        let blocks = u32::try_from(windows).map_or(MAX_BLOCKS, |windows| windows.min(MAX_BLOCKS));
        let bits = blocks.max(2).next_power_of_two().trailing_zeros();
        let mut index = Self {
            origin,
            heads: vec![NONE; 1 << bits],
            next: vec![NONE; blocks as usize],
            shift: u32::BITS - bits,
        };
        // From the last one, so that a chain begins with the earliest, which more of the origin follows.
        for block in (0..blocks).rev() {
            if let Some(window) = index.text(block).first_chunk() {
                let head = &mut index.heads[hash(*window, index.shift)];
                index.next[block as usize] = std::mem::replace(head, block);
            }
        }
        index
    }

    /// What of the origin begins as `target` does for the most bytes: offset and length. Nothing when that is less than
    /// a window, or `target` itself is.
    pub(super) fn longest(&self, target: &[u8]) -> Option<(usize, usize)> {
        let window = target.first_chunk()?;
        let mut best = None;
        let mut block = self.heads[hash(*window, self.shift)];
        for _ in 0..MAX_CHAIN {
            let Some(next) = self.next.get(block as usize) else {
                break;
            };
            let len = common_prefix(self.text(block), target);
            if len > best.map_or(WINDOW - 1, |(_, longest)| longest) {
                best = Some((block as usize * STRIDE, len));
            }
            block = *next;
        }
        best
    }

    /// The origin from a block on.
    fn text(&self, block: u32) -> &'o [u8] {
        self.origin.get(block as usize * STRIDE..).unwrap_or_default()
    }
}

/// The upper bits of a product depend on all bytes.
fn hash(window: [u8; WINDOW], shift: u32) -> usize {
    let product = u64::from_le_bytes(window).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((product >> u32::BITS) as u32 >> shift) as usize
}

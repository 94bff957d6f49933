//! A publication for members that undo differences (`delta: "fossil"` of a subscription). The difference is made once for
//! all of them on this gateway.

use std::sync::OnceLock;

use natter_protocol::delta;

use crate::{publication::Publication, wire::Frames};

#[derive(Default)]
pub(super) struct Change {
    delta: OnceLock<Option<Vec<u8>>>,
    pub(super) deltas: Frames,
    pub(super) wholes: Frames,
}

impl Change {
    /// What makes `publication` of the one before; `None` where that is no shorter.
    pub(super) fn delta(&self, previous: Option<&Publication>, publication: &Publication) -> Option<&[u8]> {
        let make = || {
            let delta = delta::encode(&previous?.data, &publication.data);
            (delta.len() < publication.data.len()).then_some(delta)
        };
        self.delta.get_or_init(make).as_deref()
    }
}

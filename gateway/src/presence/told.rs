//! Joins and leaves on their way to the members of a room on this gateway.

use natter_protocol::Push;
use uuid::Uuid;

use super::changes::Change;
use crate::{
    channel::Channel,
    frame::Frame,
    wire::{Frames, Wire},
};
use std::sync::Arc;

/// What a push holds beside the texts of its member, about.
const AROUND: usize = 128;

/// One batch, which all workers share.
pub struct Told {
    pub channel: Channel,
    changes: Vec<Change>,
    frames: Frames,
}

impl Told {
    pub(super) fn new(channel: Channel, changes: Vec<Change>) -> Self {
        Self {
            channel,
            changes,
            frames: Frames::default(),
        }
    }

    /// How many pushes a member gets.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// All pushes in one piece, for members that speak so.
    pub fn frame(&self, wire: Wire) -> &Arc<Frame> {
        self.frames.get_or_make(wire, || {
            let frames: Vec<_> = self
                .changes
                .iter()
                .map(|change| self.push(wire, change))
                .collect();
            Frame::joined(frames.iter())
        })
    }

    fn push(&self, wire: Wire, change: &Change) -> Frame {
        let mut buffer = Uuid::encode_buffer();
        let member = change.member();
        let info = member.as_protocol(member.client.hyphenated().encode_lower(&mut buffer));
        let channel = &*self.channel;
        let push = match change {
            Change::Joined(_) | Change::Renewed(_) => Push::Join { channel, info },
            Change::Left(_) => Push::Leave { channel, info },
        };
        wire.push(AROUND + member.user.len() + channel.len(), &push)
    }
}

#[cfg(test)]
impl Told {
    /// Who joined (`+`) and left (`-`), sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Joined(member) | Change::Renewed(member) => format!("+{}", member.user),
            Change::Left(member) => format!("-{}", member.user),
        };
        let mut names: Vec<_> = self.changes.iter().map(name).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Member, *};

    #[test]
    fn a_batch_is_one_piece_of_several_messages() {
        let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
        let changes = vec![Change::Joined(ann.clone()), Change::Left(bob.clone())];
        let told = Told::new(Channel::from("room"), changes);
        let text = String::from_utf8_lossy(told.frame(Wire::default()).bytes()).into_owned();
        for (kind, member) in [("join", ann), ("leave", bob)] {
            let Member { client, user, .. } = &*member;
            let push = format!(
                r#"{{"push":{{"channel":"room","{kind}":{{"info":{{"user":"{user}","client":"{client}"}}}}}}}}"#
            );
            assert!(text.contains(&push), "{text}");
        }
        assert!(
            told.frame(Wire::default()).deliveries().is_empty(),
            "no publications"
        );
    }
}

//! Who is in a room.

use std::sync::Arc;

use natter_protocol::ClientInfo;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One connection in a room, as others are told of it. What is said about it is JSON text on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub client: Uuid,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub user: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn_info: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chan_info: Option<Box<str>>,
}

/// Bytes around the texts of a member on the bus, about.
const AROUND: usize = 96;

impl Member {
    pub fn new(client: Uuid, info: &ClientInfo<'_>) -> Self {
        Self {
            client,
            user: info.user.into(),
            conn_info: info.conn_info.map(Box::from),
            chan_info: info.chan_info.map(Box::from),
        }
    }

    /// `client` is its id as text.
    pub fn as_protocol<'a>(&'a self, client: &'a str) -> ClientInfo<'a> {
        ClientInfo {
            user: &self.user,
            client,
            conn_info: self.conn_info.as_deref(),
            chan_info: self.chan_info.as_deref(),
        }
    }

    /// About its bytes on the bus.
    pub(super) fn size(&self) -> usize {
        let infos = self.conn_info.iter().chain(&self.chan_info);
        AROUND + self.user.len() + infos.map(|info| info.len()).sum::<usize>()
    }
}

/// Members in parts of about `size` bytes on the bus; at least one part.
pub fn pages<'a>(members: impl Iterator<Item = &'a Arc<Member>>, size: usize) -> Vec<Vec<Member>> {
    let mut pages = vec![Vec::new()];
    let mut filled = 0;
    for member in members {
        let own = member.size();
        filled += own;
        if filled > size {
            pages.push(Vec::new());
            filled = own;
        }
        if let Some(page) = pages.last_mut() {
            page.push((**member).clone());
        }
    }
    pages
}

/// Calls `with` with members as the protocol has them.
pub fn with_infos<R>(members: &[Arc<Member>], with: impl FnOnce(&[ClientInfo<'_>]) -> R) -> R {
    let mut ids = vec![Uuid::encode_buffer(); members.len()];
    let infos: Vec<_> = members
        .iter()
        .zip(&mut ids)
        .map(|(member, id)| member.as_protocol(member.client.hyphenated().encode_lower(id)))
        .collect();
    with(&infos)
}

#[cfg(test)]
impl Member {
    /// One of a user, with an id of its own.
    pub(super) fn fixture(user: &str) -> Arc<Self> {
        let info = ClientInfo {
            user,
            ..ClientInfo::default()
        };
        Arc::new(Self::new(Uuid::new_v4(), &info))
    }
}

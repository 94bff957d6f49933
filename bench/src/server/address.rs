//! What another process of this program needs to drive the same server.

use std::net::SocketAddr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Label, Server};
use crate::protocol;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    label: Label,
    addresses: Vec<SocketAddr>,
    path: String,
    api_key: String,
    protocol: String,
    room_prefix: String,
    pids: Vec<u32>,
}

impl Server {
    pub fn to_address(&self) -> Address {
        Address {
            label: self.label.clone(),
            addresses: self.addresses.clone(),
            path: self.path.clone(),
            api_key: self.api_key.clone(),
            protocol: self.protocol.name().to_owned(),
            room_prefix: self.room_prefix.clone(),
            pids: self.pids.clone(),
        }
    }

    /// A server that another process of this program has started, or was told of.
    pub fn at(address: Address) -> anyhow::Result<Self> {
        let protocol = protocol::named(&address.protocol);
        Ok(Self {
            addresses: address.addresses,
            path: address.path,
            api_key: address.api_key,
            protocol: protocol.context("there is no such protocol")?,
            room_prefix: address.room_prefix,
            pids: address.pids,
            ..Self::empty(address.label)
        })
    }
}

//! What all parts of a run share.

use std::{cell::RefCell, rc::Rc};

use natter_websocket::Inflater;

use crate::{
    durable,
    link::Scratch,
    protocol::Protocol,
    server::{self, Server},
    tally::Tally,
};

pub struct Run {
    pub server: Rc<Server>,
    pub protocol: &'static dyn Protocol,
    pub scratch: Scratch,
    pub inflater: RefCell<Inflater>,
    pub tally: Tally,
    /// That of the kernel for each connection, in bytes, if it is not to choose.
    pub receive_buffer: Option<u32>,
    /// In every room's name, so that two runs on one server do not meet.
    tag: u32,
}

impl Run {
    /// Starts the server, if it is one of our own, and waits until it takes joins and publications.
    pub async fn start(server: server::Args) -> anyhow::Result<Rc<Self>> {
        let run = Self::on(Server::of(server).await?)?;
        if run.server.is_durable() {
            durable::streams_are_there(&run).await?;
        }
        Ok(run)
    }

    pub fn on(server: Server) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            protocol: server.protocol,
            server: Rc::new(server),
            scratch: Scratch::default(),
            inflater: RefCell::default(),
            tally: Tally::new()?,
            receive_buffer: None,
            tag: fastrand::u32(..),
        }))
    }

    /// A run in the same rooms of the same server that counts for itself, its connections with such receive buffers.
    pub fn beside(&self, receive_buffer: u32) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            protocol: self.protocol,
            server: self.server.clone(),
            scratch: Scratch::default(),
            inflater: RefCell::default(),
            tally: Tally::new()?,
            receive_buffer: Some(receive_buffer),
            tag: self.tag,
        }))
    }

    pub fn room(&self, number: usize) -> String {
        format!("{}bench-{:08x}-{number}", self.server.room_prefix, self.tag)
    }

    /// What went wrong first.
    pub fn trouble(&self) -> String {
        let trouble = self.tally.trouble.borrow();
        trouble.as_deref().unwrap_or("no reason was given").to_owned()
    }
}

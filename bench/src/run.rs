//! What all parts of a run share.

use std::rc::Rc;

use crate::{
    link::Scratch,
    protocol::{CentrifugeJson, Protocol},
    server::{self, Server},
    tally::Tally,
};

#[derive(Debug)]
pub struct Run {
    pub server: Server,
    pub protocol: Box<dyn Protocol>,
    pub scratch: Scratch,
    pub tally: Tally,
    /// In every room's name, so that two runs on one server do not meet.
    tag: u32,
}

impl Run {
    pub fn start(server: server::Args) -> anyhow::Result<Rc<Self>> {
        Self::on(Server::of(server)?)
    }

    pub fn on(server: Server) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            server,
            protocol: Box::new(CentrifugeJson),
            scratch: Scratch::default(),
            tally: Tally::new()?,
            tag: fastrand::u32(..),
        }))
    }

    pub fn room(&self, number: usize) -> String {
        format!("bench-{:08x}-{number}", self.tag)
    }

    /// What went wrong first.
    pub fn trouble(&self) -> String {
        let trouble = self.tally.trouble.borrow();
        trouble.as_deref().unwrap_or("no reason was given").to_owned()
    }
}

//! The floor: what the kernel takes for one `send` call a delivery, and nothing beside it. One thread waits for all sockets by
//! epoll; a publication is framed once and sent to each member at once. Nothing is queued: a socket that does not take a whole
//! frame is closed, which the load reports.

mod connection;

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use anyhow::Context;
use connection::{Connection, Reading};
use natter_websocket::{Incoming, Limits, Opcode, encode, pong};
use rustix::{buffer::spare_capacity, event::epoll, io::Errno};
use slab::Slab;

use super::{
    announce,
    command::{Command, publication_by_http, push},
    request::{self, PUBLISHED, Request},
};

/// Of the listener; connections have their keys in the slab.
const LISTENER: u64 = u64::MAX;
/// What one read may take.
const SCRATCH: usize = 64 * 1024;
/// Sockets that one wait may report.
const EVENTS: usize = 1024;

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<Connection>,
    /// Keys of the members.
    rooms: HashMap<String, Vec<usize>>,
}

/// Serves until the process is ended.
pub(super) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut floor = Floor {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        listener,
        connections: Slab::new(),
        rooms: HashMap::new(),
    };
    let data = epoll::EventData::new_u64(LISTENER);
    epoll::add(&floor.epoll, &floor.listener, data, epoll::EventFlags::IN)?;
    announce(address);
    floor.serve()
}

impl Floor {
    fn serve(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH];
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for sockets"),
            }
            for event in events.drain(..) {
                let data: epoll::EventData = event.data;
                match data.u64() {
                    LISTENER => self.accept()?,
                    key => self.ready(usize::try_from(key)?, &mut scratch),
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let key = self.connections.insert(Connection::new(stream));
            let data = epoll::EventData::new_u64(key as u64);
            let socket = &self.connections[key].stream;
            epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN)?;
        }
    }

    /// Reads once, and handles all that is complete.
    fn ready(&mut self, key: usize, scratch: &mut [u8]) {
        // An earlier event of the same wait may have closed it.
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        match connection.stream.read(scratch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(read @ 1..) => {
                if let Err(error) = self.received(key, &mut scratch[..read]) {
                    eprintln!("connection closed: {error:#}");
                    self.close(key);
                }
            }
            // The client is gone.
            Ok(0) | Err(_) => self.close(key),
        }
    }

    fn received(&mut self, key: usize, bytes: &mut [u8]) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        match connection.take_reading() {
            Reading::Requests(tail) => self.requests(key, tail, bytes),
            Reading::Messages(mut decoder) => {
                let mut input = bytes;
                while let Some(incoming) = decoder.next(&mut input, &Limits::default())? {
                    self.message(key, incoming)?;
                }
                self.resume(key, Reading::Messages(decoder));
                Ok(())
            }
        }
    }

    fn requests(&mut self, key: usize, mut tail: Vec<u8>, bytes: &[u8]) -> anyhow::Result<()> {
        tail.extend_from_slice(bytes);
        let mut rest = &tail[..];
        while let Some(request) = request::take(&mut rest)? {
            match request {
                Request::Upgrade { key: secret } => {
                    self.connections[key].send(request::upgraded(secret).as_bytes())?;
                    // Nothing follows before the answer.
                    self.resume(key, Reading::Messages(Box::default()));
                    return Ok(());
                }
                Request::Publish { body } => {
                    let (room, data) = publication_by_http(body).context("no publication")?;
                    self.fan_out(room, &push(room, data, None));
                    self.connections[key].send(PUBLISHED.as_bytes())?;
                }
            }
        }
        let tail = rest.to_vec();
        self.resume(key, Reading::Requests(tail));
        Ok(())
    }

    fn resume(&mut self, key: usize, reading: Reading) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.reading = reading;
        }
    }

    fn message(&mut self, key: usize, incoming: Incoming<'_>) -> anyhow::Result<()> {
        // Gone when it did not take what it had published itself.
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Ping(payload) => return connection.send(&pong(&payload)),
            Incoming::Pong => return Ok(()),
            Incoming::Binary(_) | Incoming::Close(_) => anyhow::bail!("a load does not send this"),
        };
        let command = Command::read(&text).with_context(|| format!("a load does not send {text}"))?;
        match command {
            Command::Pong => return Ok(()),
            Command::Connect { .. } => {}
            Command::Join { room, .. } => {
                connection.rooms.push(room.to_owned());
                self.rooms.entry(room.to_owned()).or_default().push(key);
            }
            Command::Publish { room, data, .. } => {
                let push = push(room, data, Some(&connection.client));
                self.fan_out(room, &push);
            }
        }
        let Some(connection) = self.connections.get(key) else {
            return Ok(());
        };
        let answer = command.answer(&connection.client);
        connection.send(&encode(Opcode::Text, answer.as_bytes()))
    }

    fn fan_out(&mut self, room: &str, push: &str) {
        let frame = encode(Opcode::Text, push.as_bytes());
        let members = self.rooms.get(room).map_or(&[][..], Vec::as_slice);
        let lost = |key: &&usize| self.connections[**key].send(&frame).is_err();
        let lost: Vec<_> = members.iter().filter(lost).copied().collect();
        for key in lost {
            eprintln!("connection closed: it did not take a whole frame");
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        // Dropping the socket takes it out of epoll.
        let Some(connection) = self.connections.try_remove(key) else {
            return;
        };
        for room in &connection.rooms {
            if let Some(members) = self.rooms.get_mut(room) {
                members.retain(|member| *member != key);
            }
        }
    }
}

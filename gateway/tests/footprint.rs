//! What a connection keeps on the heap and what a delivery allocates: guards that do not depend on time. Figures of
//! resident memory and of CPU are the load tool's (docs/benchmarks.md).
//!
//! One test, as the counts are those of the whole process.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use dhat::HeapStats;
use natter_gateway::{
    config::Settings,
    server::{Leave, Server},
};
use natter_websocket::{Opcode, client::encode_masked};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MEMBERS: usize = 200;
const MESSAGES: usize = 50;
/// The goal for resident memory is 2.5 KiB; beside the heap there are an allocator's size classes and tables that have
/// grown ahead.
const MAX_BYTES_PER_CONNECTION: usize = 1_184;
/// Of a publication, whatever the number of members.
const MAX_ALLOCATIONS_PER_MESSAGE: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn connections_and_deliveries_stay_cheap() -> anyhow::Result<()> {
    let _profiler = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let server = runtime.block_on(Server::start(settings()))?;

    let mut publisher = Client::connect(server.public)?;
    let mut members: Vec<Client> = Vec::with_capacity(MEMBERS);
    // Code that runs for the first time, and tables that everybody shares, are paid for by somebody else.
    let _first = Client::join(server.public)?;
    let before = HeapStats::get().curr_bytes;
    for _ in 0..MEMBERS {
        members.push(Client::join(server.public)?);
    }
    let each = HeapStats::get().curr_bytes.saturating_sub(before) / MEMBERS;
    assert!(
        each <= MAX_BYTES_PER_CONNECTION,
        "a connection keeps {each} bytes"
    );

    let before = HeapStats::get().total_blocks;
    let publish = Client::frame(r#"{"id":9,"publish":{"channel":"lobby","data":{"text":"hello"}}}"#);
    for _ in 0..MESSAGES {
        publisher.stream.write_all(&publish)?;
        publisher.receive(br#"{"id":9,"publish":{}}"#)?;
        for member in &mut members {
            member.receive(br#"{"push":{"channel":"lobby","pub":{"data":{"text":"hello"},"#)?;
        }
    }
    let allocations = HeapStats::get().total_blocks - before;
    assert!(
        allocations <= MAX_ALLOCATIONS_PER_MESSAGE * MESSAGES as u64,
        "{MESSAGES} messages to {MEMBERS} members took {allocations} allocations"
    );
    println!(
        "a connection keeps {each} bytes; {MESSAGES} messages to {MEMBERS} members: {allocations} allocations"
    );

    drop((publisher, members));
    runtime.block_on(server.leave(Leave::Promptly));
    Ok(())
}

fn settings() -> Settings {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        listen: local,
        ops_listen: local,
        workers: 1,
        ..Settings::default()
    }
}

/// A client that allocates nothing while it receives.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(server: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /connection/websocket HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        let mut client = Self { stream };
        client
            .stream
            .write_all(&Self::frame(r#"{"id":1,"connect":{}}"#))?;
        client.receive(br#"{"id":1,"connect":{"client":""#)?;
        Ok(client)
    }

    fn join(server: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(server)?;
        let subscribe = Self::frame(r#"{"id":2,"subscribe":{"channel":"lobby"}}"#);
        client.stream.write_all(&subscribe)?;
        client.receive(br#"{"id":2,"subscribe":{"#)?;
        Ok(client)
    }

    fn frame(text: &str) -> Vec<u8> {
        encode_masked(Opcode::Text, text.as_bytes(), [1, 2, 3, 4])
    }

    /// Takes one short message, which begins with `expected`.
    fn receive(&mut self, expected: &[u8]) -> io::Result<()> {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header)?;
        let mut length = u16::from(header[1]);
        if length == 126 {
            self.stream.read_exact(&mut header)?;
            length = u16::from_be_bytes(header);
        }
        let mut payload = [0; 512];
        let payload = &mut payload[..usize::from(length)];
        self.stream.read_exact(payload)?;
        assert!(payload.starts_with(expected), "{}", payload.escape_ascii());
        Ok(())
    }
}

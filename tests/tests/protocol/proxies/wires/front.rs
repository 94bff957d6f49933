//! A proxy in front of a gateway that adds headers to the first request of each connection: so clients of all kinds send some.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(super) struct Front {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    pub(super) async fn start(gateway: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                number += 1;
                tokio::spawn(pass(client, gateway, number));
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The cookie tells which connection it was.
async fn pass(mut client: TcpStream, gateway: SocketAddr, number: u32) -> io::Result<()> {
    let mut server = TcpStream::connect(gateway).await?;
    let mut read = Vec::new();
    let line = loop {
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            break end + 1;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let headers = format!("cookie: a={number}\r\nauthorization: of the client\r\n");
    let request = [&read[..line], headers.as_bytes(), &read[line..]].concat();
    server.write_all(&request).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

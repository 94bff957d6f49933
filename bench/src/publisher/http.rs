//! Publishing by HTTP/1.1: requests go out by the schedule, whether or not those before them were answered.

use std::rc::Rc;

use anyhow::{Context, ensure};
use memchr::memmem;
use tokio::task::spawn_local;

use crate::{
    link::{self, Receiver, Sender},
    run::Run,
    tally::add,
};

/// Opens a connection and reads its responses.
pub(super) async fn open(run: &Rc<Run>, number: usize) -> anyhow::Result<Rc<Sender>> {
    let server = &run.server.label.server;
    ensure!(
        run.protocol.takes_http(),
        "{server} takes no publications by HTTP"
    );
    let (receiver, sender) = link::open(run, number).await?;
    spawn_local(read_responses(run.clone(), receiver));
    Ok(Rc::new(sender))
}

pub fn request(run: &Run, room: &str, data: &str) -> Vec<u8> {
    let (path, body) = run.protocol.publish_by_http(room, data);
    let (host, key, length) = (run.server.address(0), &run.server.api_key, body.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn read_responses(run: Rc<Run>, mut receiver: Receiver) {
    let take = |bytes: &[u8]| {
        let mut rest = bytes;
        while let Some((is_ok, body)) = response(&mut rest)? {
            if !is_ok || !run.protocol.is_published(body) {
                run.tally.refused(body);
            }
        }
        Ok(bytes.len() - rest.len())
    };
    let error = loop {
        if let Err(error) = receiver.receive(&run.scratch, take).await {
            break error;
        }
    };
    add(&run.tally.ended, 1);
    run.tally.note(|| format!("{error:#}"));
}

/// Takes a response off `input`: whether its status is 200, and its body. `None` while it is incomplete.
pub fn response<'a>(input: &mut &'a [u8]) -> anyhow::Result<Option<(bool, &'a [u8])>> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&input[..end]).context("the head of a response is not UTF-8")?;
    let length = header(head, "content-length")
        .and_then(|length| length.parse::<usize>().ok())
        .with_context(|| format!("a response without a length: {head}"))?;
    let is_ok = head.starts_with("HTTP/1.1 200 ");
    let Some((response, rest)) = input.split_at_checked(end + 4 + length) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some((is_ok, &response[end + 4..])))
}

/// A header's value.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_follow_each_other() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\nHTTP";
        let mut rest = &text[..];
        assert_eq!(response(&mut rest).unwrap(), Some((true, &b"{}"[..])));
        assert_eq!(response(&mut rest).unwrap(), Some((false, &b""[..])));
        assert_eq!(response(&mut rest).unwrap(), None);
        assert_eq!(rest, b"HTTP");
        assert!(response(&mut &b"HTTP/1.1 200 OK\r\n\r\n"[..]).is_err());
    }
}

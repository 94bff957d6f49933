//! Clients that negotiated compression and then break its rules, while others chat.

use anyhow::{Result, ensure};
use natter_tests::raw::Frame;

use crate::compressed_member::{CompressedMember, OFFER, compressed, deflate, stored};
use crate::compression::ALWAYS;
use crate::scene::Scene;

const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

fn first(payload: &[u8]) -> Vec<u8> {
    let frame = Frame {
        fin: false,
        ..compressed(payload.to_vec())
    };
    frame.encode()
}

fn flagged(opcode: u8, reserved: u8) -> Vec<u8> {
    let frame = Frame {
        reserved,
        ..Frame::new(opcode, "")
    };
    frame.encode()
}

#[tokio::test]
async fn fragments_of_a_compressed_message_make_one_command() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let mut member = CompressedMember::join(&scene.gateway, "room").await?;
    let command = deflate("{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":\"😀\"}}".as_bytes());
    let (head, tail) = command.split_at(20);
    let empty = Frame {
        fin: false,
        ..Frame::new(CONTINUATION, "")
    };
    let frames = [
        first(head),
        Frame::new(PING, "one").encode(),
        empty.encode(),
        Frame::new(CONTINUATION, tail).encode(),
    ];
    for byte in frames.concat() {
        member.socket.write(&[byte]).await?;
    }
    let (pong, payload) = member.socket.read_frame().await?;
    ensure!((pong, payload.as_slice()) == (0xa, b"one"), "{pong}");
    ensure!(member.data().await?.1 == "😀", "the message was changed");
    // An empty message is no command, compressed or not.
    member.socket.write_frame(&compressed(vec![0])).await?;
    let (code, _) = member.socket.read_close().await?;
    assert_eq!(code, 3501);
    scene.untroubled().await
}

#[tokio::test]
async fn compressed_frames_against_the_rfc_close_with_its_code() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let whole = deflate(b"{\"id\":1,\"connect\":{}}");
    let half = &whole[..whole.len() / 2];
    let continued = |reserved| {
        let last = Frame {
            reserved,
            ..Frame::new(CONTINUATION, half)
        };
        [first(half), last.encode()].concat()
    };
    for (bytes, code, kind) in [
        (continued(4), 1002, "reserved_bits"),
        (continued(2), 1002, "reserved_bits"),
        (flagged(PING, 4), 1002, "reserved_bits"),
        (flagged(CLOSE, 4), 1002, "reserved_bits"),
        (flagged(CONTINUATION, 4), 1002, "reserved_bits"),
        (flagged(0x1, 5), 1002, "reserved_bits"),
        (flagged(0x1, 2), 1002, "reserved_bits"),
        (flagged(0x3, 4), 1002, "unknown_opcode"),
        (
            [first(half), compressed(whole.clone()).encode()].concat(),
            1002,
            "interleaved_message",
        ),
        (compressed(half.to_vec()).encode(), 1007, "invalid_deflate"),
        (compressed(Vec::new()).encode(), 1007, "invalid_deflate"),
        (compressed(vec![0xff; 40]).encode(), 1007, "invalid_deflate"),
        (
            compressed(b"{\"id\":1,\"connect\":{}}".to_vec()).encode(),
            1007,
            "invalid_deflate",
        ),
        (
            compressed(deflate(b"\"\xc3\x28\"")).encode(),
            1007,
            "invalid_utf8",
        ),
    ] {
        scene.refuses(OFFER, &bytes, code, kind).await?;
    }
    scene.untroubled().await
}

/// Some 16 KiB that would become 16 MiB: the limit holds for what a message becomes, before it takes memory.
#[tokio::test]
async fn bombs_close_with_1009_and_take_no_memory() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let bomb = deflate(&vec![b' '; 16 << 20]);
    ensure!(bomb.len() < 20_000, "{}", bomb.len());
    let before = scene.gateway.rss_bytes()?;
    for _ in 0..5 {
        scene
            .refuses(OFFER, &compressed(bomb.clone()).encode(), 1009, "message_too_big")
            .await?;
    }
    let grown = scene.gateway.rss_bytes()?.saturating_sub(before);
    ensure!(grown < 8 << 20, "the gateway has grown by {grown} bytes");
    // Fragments of one message, none of which is much by itself.
    let fragments: Vec<u8> = bomb
        .chunks(1_000)
        .enumerate()
        .flat_map(|(index, part)| {
            let opcode = if index == 0 { 0x1 } else { CONTINUATION };
            let frame = Frame {
                fin: (index + 1) * 1_000 >= bomb.len(),
                reserved: if index == 0 { 4 } else { 0 },
                ..Frame::new(opcode, part)
            };
            frame.encode()
        })
        .collect();
    scene.refuses(OFFER, &fragments, 1009, "message_too_big").await?;
    // What could not be a message even if it became no longer is refused by its declared length.
    let huge = Frame {
        claimed: Some(1 << 20),
        ..compressed(Vec::new())
    };
    scene
        .refuses(OFFER, &huge.encode(), 1009, "message_too_big")
        .await?;
    scene.untroubled().await
}

/// What cannot be compressed becomes a little longer than the limit, and is taken all the same.
#[tokio::test]
async fn the_largest_message_passes_however_it_compresses() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let mut member = CompressedMember::join(&scene.gateway, "room").await?;
    let (head, tail) = ("{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":\"", "\"}}");
    let data = "x".repeat(64 * 1024 - head.len() - tail.len());
    let command = format!("{head}{data}{tail}");
    for payload in [deflate(command.as_bytes()), stored(command.as_bytes())] {
        member.socket.write_frame(&compressed(payload)).await?;
        ensure!(member.data().await?.1 == data, "the message was changed");
    }
    scene
        .refuses(
            OFFER,
            &compressed(deflate("x".repeat(64 * 1024 + 1).as_bytes())).encode(),
            1009,
            "message_too_big",
        )
        .await?;
    scene.untroubled().await
}

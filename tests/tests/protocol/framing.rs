//! RFC 6455 over real sockets: frames written by hand, right and wrong.

use anyhow::{Result, ensure};
use natter_tests::raw::{Frame, RawSocket};

use crate::raw_member::{PATH, RawMember};
use crate::scene::Scene;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

fn fragment(opcode: u8, fin: bool, payload: &[u8]) -> Frame {
    Frame {
        fin,
        ..Frame::new(opcode, payload)
    }
}

/// A publish command of exactly `length` bytes.
fn publish(length: usize) -> String {
    let (head, tail) = ("{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":\"", "\"}}");
    format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
}

#[tokio::test]
async fn fragments_make_one_message_with_control_frames_between() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    // Cut inside a character of four bytes, with empty fragments.
    let command = "{\"id\":3,\"publish\":{\"channel\":\"room\",\"data\":\"😀\"}}".as_bytes();
    let middle = command.len() - 5;
    let socket = &mut member.socket;
    socket.write_frame(&fragment(TEXT, false, &command[..7])).await?;
    socket.write_frame(&Frame::new(PING, "one")).await?;
    socket.write_frame(&fragment(0, false, b"")).await?;
    socket
        .write_frame(&fragment(0, false, &command[7..middle]))
        .await?;
    socket.write_frame(&Frame::new(PONG, "unasked")).await?;
    socket.write_frame(&Frame::new(PING, "")).await?;
    socket.write_frame(&fragment(0, true, &command[middle..])).await?;
    assert_eq!(socket.read_frame().await?, (PONG, b"one".to_vec()));
    assert_eq!(socket.read_frame().await?, (PONG, Vec::new()));
    assert_eq!(member.data().await?, "\"😀\"");
    scene.untroubled().await
}

#[tokio::test]
async fn a_command_arriving_byte_by_byte_is_one_command() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    for byte in Frame::text(publish(200)).encode() {
        member.socket.write(&[byte]).await?;
    }
    assert_eq!(member.data().await?.trim_matches(['"', 'x']), "");
    scene.untroubled().await
}

#[tokio::test]
async fn commands_sent_along_with_the_handshake_are_read() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let host = scene.gateway.public();
    // The page first: a connection that was kept alive can still be upgraded.
    socket
        .write(format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .await?;
    ensure!(socket.read_head().await?.starts_with("HTTP/1.1 200 "), "no page");
    let handshake = format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let connect = Frame::text("{\"id\":1,\"connect\":{}}").encode();
    let rpc = Frame::text("{\"id\":2,\"rpc\":{}}").encode();
    let half = rpc.len() / 2;
    socket
        .write(&[handshake.as_bytes(), &connect, &rpc[..half]].concat())
        .await?;
    ensure!(
        socket.read_head().await?.starts_with("HTTP/1.1 101 "),
        "no upgrade"
    );
    let (_, hello) = socket.read_frame().await?;
    ensure!(hello.starts_with(b"{\"id\":1,\"connect\":{"), "{hello:?}");
    socket.write(&rpc[half..]).await?;
    let (_, reply) = socket.read_frame().await?;
    ensure!(reply.starts_with(b"{\"id\":2,\"error\":{"), "{reply:?}");
    scene.untroubled().await
}

#[tokio::test]
async fn many_frames_in_one_packet_are_all_read() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    let frames: Vec<u8> = (0..500)
        .flat_map(|number| {
            let command = format!(
                "{{\"id\":{},\"publish\":{{\"channel\":\"room\",\"data\":{number}}}}}",
                number + 3
            );
            Frame::text(command).encode()
        })
        .collect();
    member.socket.write(&frames).await?;
    for number in 0..500 {
        assert_eq!(member.data().await?, number.to_string());
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_close_is_answered_and_the_connection_ends() -> Result<()> {
    let scene = Scene::open("").await?;
    for (frame, answer) in [
        (Frame::close(1000, ""), 1000),
        (Frame::close(1001, "going away"), 1001),
        (Frame::close(4321, "räson"), 4321),
        (Frame::new(CLOSE, ""), 1000),
    ] {
        let mut member = RawMember::join(&scene.gateway, "room").await?;
        let watch = scene.watch().await?;
        member.socket.write_frame(&frame).await?;
        // Nothing after the close frame is looked at (section 5.5.1), be it garbage.
        member.socket.write(&[0xff; 64]).await?;
        assert_eq!(member.socket.read_close().await?, (answer, String::new()));
        assert_eq!(member.socket.read_to_end().await?, b"");
        watch.counted("natter_protocol_errors_total", &[], 0).await?;
        watch.ended("closed_by_peer").await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_peer_that_just_goes_is_counted_as_lost() -> Result<()> {
    let scene = Scene::open("").await?;
    let member = RawMember::join(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    drop(member);
    watch.ended("lost").await?;
    watch.counted("natter_subscriptions", &[], -1).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn exactly_the_limit_passes_and_one_byte_more_closes_with_1009() -> Result<()> {
    let scene = Scene::open("").await?;
    let limit = 64 * 1024;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    member.socket.write_frame(&Frame::text(publish(limit))).await?;
    ensure!(member.data().await?.len() > limit - 100, "the message was cut");
    let halves = publish(limit).into_bytes();
    member
        .socket
        .write_frame(&fragment(TEXT, false, &halves[..limit / 2]))
        .await?;
    member
        .socket
        .write_frame(&fragment(0, true, &halves[limit / 2..]))
        .await?;
    ensure!(member.data().await?.len() > limit - 100, "the fragments were cut");

    let whole = Frame::text(publish(limit + 1)).encode();
    let too_many = publish(limit + 1).into_bytes();
    let first = fragment(TEXT, false, &too_many[..limit]).encode();
    let fragments = [first, fragment(0, true, &too_many[limit..]).encode()].concat();
    for bytes in [whole, fragments] {
        scene.refuses("", &bytes, 1009, "message_too_big").await?;
    }
    scene.untroubled().await
}

/// The header alone is enough to say no, and what follows all the same is not taken for frames.
#[tokio::test]
async fn ten_mebibytes_are_refused_by_their_declared_length() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut member = RawMember::join(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    let huge = Frame {
        claimed: Some(10 << 20),
        ..Frame::text("{\"id\":3,")
    };
    member.socket.write_frame(&huge).await?;
    assert_eq!(
        member.socket.read_close().await?,
        (1009, "message_too_big".to_owned())
    );
    let payload = vec![b'x'; 64 * 1024];
    for _ in 0..160 {
        // Once the gateway has lost patience it takes no more.
        if member.socket.write(&payload).await.is_err() {
            break;
        }
    }
    watch
        .counted("natter_protocol_errors_total", &[("kind", "message_too_big")], 1)
        .await?;
    watch.counted("natter_protocol_errors_total", &[], 1).await?;
    watch.cut("message_too_big", 1009).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn frames_against_the_rfc_close_with_its_code() -> Result<()> {
    let scene = Scene::open("").await?;
    let unmasked = Frame {
        mask: None,
        ..Frame::text("{}")
    };
    let reserved = |reserved| Frame {
        reserved,
        ..Frame::text("{}")
    };
    let interleaved = [fragment(TEXT, false, b"{").encode(), Frame::text("{}").encode()].concat();
    let late = [
        fragment(TEXT, false, b"\xf0\x9f").encode(),
        fragment(0, true, b"\x98").encode(),
    ]
    .concat();
    for (bytes, code, kind) in [
        (unmasked.encode(), 1002, "unmasked"),
        (reserved(4).encode(), 1002, "reserved_bits"),
        (reserved(2).encode(), 1002, "reserved_bits"),
        (reserved(1).encode(), 1002, "reserved_bits"),
        (Frame::new(0x3, "").encode(), 1002, "unknown_opcode"),
        (Frame::new(0xf, "").encode(), 1002, "unknown_opcode"),
        (fragment(PING, false, b"").encode(), 1002, "fragmented_control"),
        (Frame::new(PING, [0; 126]).encode(), 1002, "control_too_long"),
        (fragment(0, true, b"{}").encode(), 1002, "unexpected_continuation"),
        (interleaved, 1002, "interleaved_message"),
        (
            vec![0x81, 0xfe, 0, 2, 1, 2, 3, 4, b'{', b'}'],
            1002,
            "non_minimal_length",
        ),
        (
            vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
            1002,
            "length_high_bit",
        ),
        (Frame::new(CLOSE, [3]).encode(), 1002, "invalid_close_payload"),
        (Frame::close(1005, "").encode(), 1002, "invalid_close_code"),
        (Frame::close(999, "").encode(), 1002, "invalid_close_code"),
        (Frame::new(CLOSE, b"\x03\xe8\xff").encode(), 1007, "invalid_utf8"),
        (
            Frame::text(b"\"\xc3\x28\"".to_vec()).encode(),
            1007,
            "invalid_utf8",
        ),
        (
            Frame::text(b"\"\xed\xa0\xbd\"".to_vec()).encode(),
            1007,
            "invalid_utf8",
        ),
        (late, 1007, "invalid_utf8"),
        (
            Frame::new(BINARY, b"\xff".to_vec()).encode(),
            1007,
            "invalid_utf8",
        ),
        // Garbage bytes on an open WebSocket.
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1002, "reserved_bits"),
        (vec![0; 64], 1002, "fragmented_or_unmasked"),
    ] {
        let kind = if kind == "fragmented_or_unmasked" {
            "unmasked"
        } else {
            kind
        };
        scene.refuses("", &bytes, code, kind).await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_message_of_endless_empty_fragments_is_cut() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut bytes = fragment(TEXT, false, b"").encode();
    for _ in 0..2000 {
        bytes.extend(fragment(0, false, b"").encode());
    }
    scene.refuses("", &bytes, 1008, "too_many_fragments").await?;
    scene.untroubled().await
}

use super::*;
use crate::{Opcode, ProtocolError};

/// The message of a frame with a 7-bit length.
fn payload(frame: &[u8]) -> &[u8] {
    assert_eq!(frame[0], 0xc1);
    &frame[2..]
}

fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
    Inflater::default().inflate(bytes, limit)
}

/// Section 7.2.3: one block, one without compression, a last block, two blocks, and an empty message.
#[test]
fn the_examples_of_the_rfc() {
    for bytes in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ],
    ] {
        assert_eq!(inflate(bytes, 5), Ok(b"Hello".to_vec()), "{bytes:x?}");
        let too_big = Err(ProtocolError::MessageTooBig { limit: 4 });
        assert_eq!(inflate(bytes, 4), too_big, "{bytes:x?}");
    }
    assert_eq!(inflate(&[0x00], 0), Ok(Vec::new()));
    assert_eq!(inflate(&[0x02, 0x00], 0), Ok(Vec::new()));
}

#[test]
fn what_is_no_whole_message_is_refused() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for cut in 0..hello.len() {
        assert_eq!(
            inflate(&hello[..cut], 100),
            Err(ProtocolError::InvalidDeflate),
            "{cut}"
        );
    }
    // A reserved kind of block, a distance before the beginning, a length that is not its complement.
    for bytes in [&[0x06][..], &[0x02, 0x04, 0x00], &[0x00, 5, 0, 5, 0], &[0xff; 40]] {
        assert_eq!(
            inflate(bytes, 100),
            Err(ProtocolError::InvalidDeflate),
            "{bytes:x?}"
        );
    }
}

#[test]
fn one_deflater_and_one_inflater_serve_message_after_message() {
    let (mut deflater, mut inflater) = (Deflater::new(3), Inflater::default());
    let first = deflater.encode(Opcode::Text, &[b'a'; 90]).unwrap();
    let other = deflater.encode(Opcode::Text, &[b'b'; 90]).unwrap();
    assert_eq!(deflater.encode(Opcode::Text, &[b'a'; 90]).unwrap(), first);
    assert_eq!(inflater.inflate(payload(&other), 90), Ok(vec![b'b'; 90]));
    assert!(inflater.inflate(&[0xff], 90).is_err());
    assert_eq!(inflater.inflate(payload(&first), 90), Ok(vec![b'a'; 90]));
}

#[test]
fn what_would_not_become_shorter_is_left_alone() {
    let mut deflater = Deflater::new(9);
    assert_eq!(deflater.encode(Opcode::Text, b""), None);
    assert_eq!(deflater.encode(Opcode::Text, b"{}"), None);
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..50_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    assert_eq!(deflater.encode(Opcode::Binary, &noise), None);
    let frame = deflater.encode(Opcode::Text, &b"a".repeat(50_000)).unwrap();
    assert!(frame.len() < 200, "{}", frame.len());
}

/// Some 16 KiB that would become 16 MiB end at the limit, having allocated no more.
#[test]
fn a_bomb_ends_at_the_limit() {
    let mut encoder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut bomb = Vec::with_capacity(1 << 20);
    let zeros = vec![0; 16 << 20];
    encoder
        .compress_vec(&zeros, &mut bomb, flate2::FlushCompress::Sync)
        .unwrap();
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    let limit = 64 * 1024;
    assert_eq!(inflate(&bomb, limit), Err(ProtocolError::MessageTooBig { limit }));
}

//! What reading a Protobuf frame takes on the heap is bounded by the frame's size, whatever lengths and trees it claims.
//!
//! One test, as the counts are those of the whole process.

use dhat::HeapStats;
use natter_protocol::protobuf;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The largest frame that a gateway takes unless configured.
const FRAME: usize = 64 * 1024;
/// Bytes of the heap for a byte of the frame, all allocations together. It is so much because a subscription of a connect
/// command may be six bytes there and is a whole request here.
const MAX_FACTOR: usize = 100;

fn delimited(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = key.to_vec();
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend(body);
    out
}

/// A frame with the id 1 and a request, given by its key, with these fields.
fn command(key: u8, request: &[u8]) -> Vec<u8> {
    delimited(&[], &[vec![8, 1], delimited(&[key], request)].concat())
}

/// Server-side subscriptions of a connect command, or headers, each with a key of two bytes and no value.
fn entries(key: u8) -> Vec<u8> {
    let keys = (b'!'..=b'~').flat_map(|first| (b'!'..=b'~').map(move |second| [first, second]));
    let entries: Vec<u8> = keys
        .flat_map(|name| delimited(&[key], &delimited(&[10], &name)))
        .collect();
    command(0x22, &entries)
}

#[test]
fn a_frame_takes_a_bounded_multiple_of_its_size() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let endless = [0xff; 8];
    let filter = |item: &[u8]| command(0x2a, &delimited(&[0x6a], &item.repeat(FRAME / 2 - 16)));
    let frames = [
        ("pongs", vec![0; FRAME]),
        ("a length beyond the frame", [&endless[..], &[0x0f]].concat()),
        (
            "a text beyond the command",
            command(0x3a, &[&[10], &endless[..], &[0x0f]].concat()),
        ),
        ("nodes of a filter", filter(&[0x32, 0])),
        ("values of a filter", filter(&[0x2a, 0])),
        ("subscriptions", entries(0x1a)),
        ("headers", entries(0x32)),
        ("requests", delimited(&[], &[0x42, 0].repeat(FRAME / 2 - 16))),
    ];
    for (name, frame) in frames {
        let before = HeapStats::get().total_bytes;
        assert!(protobuf::decode(&frame).count() > 0);
        let taken = HeapStats::get().total_bytes - before;
        let bound = (frame.len() * MAX_FACTOR) as u64;
        assert!(
            taken <= bound,
            "{name}: {taken} bytes for a frame of {}",
            frame.len()
        );
    }
}

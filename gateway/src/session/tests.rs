use super::*;

/// What one idle connection costs at least; the rest is tokio's task and socket, and the timer's entry.
#[test]
fn a_session_stays_small() {
    let size = size_of::<Session>();
    assert!(size <= 448, "a session has grown to {size} bytes");
}

//! What durable rooms keep.

use std::time::Duration;

use super::{DAY, SECOND};
use crate::config::{
    error::Problems,
    settings::{Discard, HistoryOptions, StreamOptions},
    units::{show_bytes, show_duration},
};

const MAX_SIZE: usize = 1_000_000;
/// Longer than anybody keeps a chat; beyond it an age is a slip of the unit.
const TEN_YEARS: Duration = Duration::from_hours(87_660);
const MIB: u64 = 1 << 20;
const PIB: u64 = 1 << 50;

/// Checks the history at `path`, such as `rooms.default.history`.
pub(super) fn check(path: &str, history: &HistoryOptions, problems: &mut Problems) {
    let key = |name: &str| format!("{path}.{name}");
    problems.within(&key("size"), history.size, 1..=MAX_SIZE, |n| n);
    problems.within(&key("ttl"), history.ttl, SECOND..=TEN_YEARS, show_duration);
    window(&key("idempotency_window"), &key("ttl"), history, problems);
    stream(&key("stream"), &history.stream, problems);
}

/// A server forgets keys no later than publications: a longer window would promise what it cannot hold. A window that
/// follows `ttl` has nothing of its own to find.
fn window(path: &str, ttl: &str, history: &HistoryOptions, problems: &mut Problems) {
    if history.window_follows_ttl() || !problems.sound(&[path]) {
        return;
    }
    let window = history.idempotency_window;
    problems.within(path, window, SECOND..=DAY, show_duration);
    if window > history.ttl && problems.sound(&[path, ttl]) {
        let expected = format!("at most {ttl}, {}", show_duration(history.ttl));
        problems.add(path, format!("{} is too long", show_duration(window)), expected);
    }
}

fn stream(path: &str, stream: &StreamOptions, problems: &mut Problems) {
    let (max_bytes, discard) = (format!("{path}.max_bytes"), format!("{path}.discard"));
    if let Some(bytes) = stream.max_bytes {
        problems.within(&max_bytes, bytes, MIB..=PIB, show_bytes);
    } else if stream.discard == Discard::New && problems.sound(&[&max_bytes, &discard]) {
        problems.add(
            &discard,
            format!("new without {max_bytes} refuses nothing"),
            format!("{max_bytes}: the size at which a partition is full"),
        );
    }
}

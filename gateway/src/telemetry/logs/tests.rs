use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

/// Collects what the subscriber writes.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn json_lines_carry_message_and_fields_at_the_top() {
    let sink = Sink::default();
    let (subscriber, _handle) = subscriber("info", LogFormat::Json, true, sink.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(connection = "c1", bytes = 3, "closed");
        tracing::debug!("not shown");
    });
    let text = sink.text();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["message"], "closed");
    assert_eq!(line["connection"], "c1");
    assert_eq!(line["bytes"], 3);
    assert_eq!(line["level"], "INFO");
}

#[test]
fn pretty_lines_are_plain_without_a_terminal() {
    let sink = Sink::default();
    let (subscriber, _handle) = subscriber("info", LogFormat::Pretty, false, sink.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::warn!(connection = "c1", "slow reader"));
    let text = sink.text();
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.contains("WARN") && text.contains("slow reader connection=\"c1\""),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_level_changes_while_running() {
    let sink = Sink::default();
    let (subscriber, handle) = subscriber("warn", LogFormat::Pretty, false, sink.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let line = |text: &str| tracing::info!("{text}");
        line("first");
        handle.set_level("info").unwrap();
        line("second");
        handle.set_level("loud").unwrap_err();
        line("third");
    });
    let text = sink.text();
    assert!(
        !text.contains("first") && text.contains("second") && text.contains("third"),
        "{text}"
    );
}

#[test]
fn a_mistyped_level_is_refused() {
    for good in [
        "info",
        "OFF",
        "warn,natter_gateway::bus=debug",
        "natter_gateway=trace",
    ] {
        check_level(good).unwrap();
    }
    for bad in ["inof", "", "info,", "info,verbose", "natter_gateway=loud"] {
        let error = check_level(bad).unwrap_err().to_string();
        assert!(error.contains("level"), "{bad:?}: {error}");
    }
}

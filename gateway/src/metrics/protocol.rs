//! Commands of clients, and bytes that are no commands.

use prometheus::IntCounterVec;

use crate::cluster::Hearing;

use super::family::{LabeledCounter, Registrar, count};

/// What clients ask for and get wrong. Counts of commands go through the workers' counters.
#[derive(Clone, Debug)]
pub struct ProtocolMetrics {
    pub(super) commands: LabeledCounter,
    command_errors: IntCounterVec,
    errors: LabeledCounter,
    emulated: LabeledCounter,
}

impl ProtocolMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            commands: registrar.labeled("natter_commands_total", "Commands of clients", &["command"], [])?,
            command_errors: registrar.counters(
                "natter_command_errors_total",
                "Commands answered with an error, by the protocol's error code; 0 = one that a backend chose",
                &["command", "code"],
            )?,
            errors: registrar.labeled(
                "natter_protocol_errors_total",
                "Violations of the WebSocket framing or of the command format",
                &["kind"],
                [],
            )?,
            emulated: registrar.labeled(
                "natter_emulation_requests_total",
                "Requests of clients whose connections are streams, by what became of them",
                &["result"],
                Hearing::ALL.map(Hearing::label),
            )?,
        })
    }

    /// `code` is one of the protocol's own error codes, or 0.
    pub fn command_failed(&self, command: &'static str, code: u32) {
        count(&self.command_errors, &[command, &code.to_string()], 1);
    }

    /// `kind` is the label of a framing or decoding error.
    pub fn violated(&self, kind: &'static str) {
        self.errors.inc(kind);
    }

    /// A client of a stream said something.
    pub fn emulated(&self, hearing: Hearing) {
        self.emulated.inc(hearing.label());
    }
}

//! The two spans of a message, and that of a question to a backend. All end when dropped.

use std::sync::atomic::{AtomicI64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Status};
use opentelemetry_sdk::trace::Span;

use super::traceparent;

/// From the arrival of a publication until the bus has taken it.
#[derive(Debug)]
pub struct PublishSpan(Span);

impl PublishSpan {
    pub(super) fn new(span: Span) -> Self {
        Self(span)
    }

    /// The W3C `traceparent` to carry on the bus.
    pub fn traceparent(&self) -> String {
        traceparent::format(self.0.span_context())
    }

    /// Ends the span: the publication was refused; `error` is the label of the reason.
    pub fn fail(mut self, error: &'static str) {
        self.0.set_attribute(KeyValue::new("error.type", error));
        self.0.set_status(Status::error(error));
    }
}

/// From the beginning of a call to a backend until its answer.
#[derive(Debug)]
pub struct AskSpan(Span);

impl AskSpan {
    pub(super) fn new(span: Span) -> Self {
        Self(span)
    }

    /// The W3C `traceparent` that the backend gets.
    pub fn traceparent(&self) -> String {
        traceparent::format(self.0.span_context())
    }

    /// Ends the span: there was no verdict; `error` is the label of the reason.
    pub fn fail(mut self, error: &'static str) {
        self.0.set_attribute(KeyValue::new("error.type", error));
        self.0.set_status(Status::error(error));
    }
}

/// From the arrival of a message from the bus until the last socket of this gateway has let go of it.
#[derive(Debug)]
pub struct DeliverSpan {
    span: Span,
    members: AtomicI64,
}

impl DeliverSpan {
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            members: AtomicI64::new(0),
        }
    }

    /// Counts members that the message was handed to; each worker adds its own.
    pub fn add_members(&self, members: usize) {
        self.members
            .fetch_add(i64::try_from(members).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Drop for DeliverSpan {
    fn drop(&mut self) {
        self.span
            .set_attribute(KeyValue::new("natter.members", *self.members.get_mut()));
    }
}

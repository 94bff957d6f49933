//! What the gateway says about itself besides metrics: log lines on stderr and spans by OTLP.

pub mod budget;
pub mod logs;
pub mod traces;

pub use budget::{CauseBudget, LogBudget};
pub use logs::{LogError, LogHandle, check_level};
pub use traces::{
    AskSpan, DeliverSpan, EndpointError, PublishSpan, TraceError, TraceGuard, TraceSettings, Tracer,
    check_endpoint,
};

//! Log output: one subscriber for the process, on stderr, pretty for people or one JSON object a line for
//! machines.
//!
//! The filter can be replaced while the gateway runs; the format cannot, as a reader that parses the lines
//! would stumble.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::LogFormat;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a filter text can get wrong, and what can go wrong with installing it.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("unknown level {0:?}, expected off, error, warn, info, debug, trace or target=level")]
    UnknownLevel(String),
    #[error("invalid log filter {filter:?}: {reason}")]
    InvalidFilter { filter: String, reason: String },
    #[error("a log subscriber is already installed in this process")]
    AlreadyInstalled,
    #[error("the log subscriber is gone")]
    Gone,
}

/// Replaces the filter of the running subscriber.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl LogHandle {
    /// Takes effect for the next line. An invalid text leaves the old filter in place.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = parse(level)?;
        self.filter.reload(filter).map_err(|_| LogError::Gone)
    }
}

/// Installs the process-wide subscriber on stderr. Colours only when stderr is a terminal.
pub fn install(level: &str, format: LogFormat) -> Result<LogHandle, LogError> {
    let (subscriber, handle) = subscriber(level, format, io::stderr().is_terminal(), io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadyInstalled)?;
    Ok(handle)
}

/// Checks a level or filter text as the configuration accepts it: `info`, or
/// `info,natter_gateway::bus=debug`.
pub fn check_level(level: &str) -> Result<(), LogError> {
    parse(level).map(drop)
}

fn subscriber<W>(
    level: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogHandle), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(level)?);
    let lines = match format {
        LogFormat::Pretty => fmt::layer().with_ansi(colours).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    };
    Ok((
        Registry::default().with(filter).with(lines),
        LogHandle { filter: handle },
    ))
}

/// `EnvFilter` reads a bare word it does not know as a target, so that `inof` would silence the gateway: such
/// a word must be a level here.
fn parse(text: &str) -> Result<EnvFilter, LogError> {
    for directive in text.split(',').map(str::trim) {
        let bare = !directive.contains(['=', '[', ':']);
        if bare && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directive)) {
            return Err(LogError::UnknownLevel(directive.to_owned()));
        }
    }
    EnvFilter::try_new(text).map_err(|error| LogError::InvalidFilter {
        filter: text.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;

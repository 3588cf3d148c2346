//! The log: lines of `key=value` or of JSON, on standard error.

use crate::config::{Format, Level, Log};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Starts the log of this process.
///
/// # Errors
/// Where it has one already.
pub fn start(config: &Log) -> Result<(), TryInitError> {
    let level = match config.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let registry = tracing_subscriber::registry().with(level);
    match config.format {
        Format::Logfmt => {
            let lines = tracing_logfmt::builder()
                .with_target(false)
                .with_span_name(false)
                .with_span_path(false)
                .layer();
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
        Format::Json => {
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
            registry
                .with(lines.with_target(false).with_writer(std::io::stderr))
                .try_init()
        }
    }
}

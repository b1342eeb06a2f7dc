//! Logs: to stderr, as text on a terminal and as JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the process's logs to stderr. `filter` is a tracing filter such as `info` or `warn,allocator=debug`; the
/// environment variable `MUSTER_LOG` replaces it; one that cannot be read is complained of in the log. Later calls
/// change nothing.
pub fn init(filter: &str, format: Format) {
    let wanted = std::env::var("MUSTER_LOG").unwrap_or_else(|_| filter.to_owned());
    let (filter, fault) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let is_terminal = std::io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !is_terminal,
        Format::Text => false,
        Format::Json => true,
    };
    // Without log_internal_errors(false) a line that cannot be written is reported by eprintln!, which panics when
    // stderr is a pipe that nobody reads any more: the log of a dead parent would take its children's tasks with it.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // Colours are for terminals; in a file they are in the way. On a terminal the builder looks at NO_COLOR itself.
    let builder = if is_terminal { builder } else { builder.with_ansi(false) };
    // A second call finds a subscriber in place and leaves it.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    if let Some(error) = fault {
        tracing::warn!(filter = wanted, %error, "the log filter cannot be read; logging \"info\" instead");
    }
}

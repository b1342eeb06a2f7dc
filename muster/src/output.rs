//! What a command prints on stdout.

use clap::ValueEnum;

/// Form of a command's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object, for scripts.
    Json,
}

//! What a command prints: its answer on stdout, remarks on stderr. Nobody has to read either to the end.

use std::io::Write as _;

use clap::ValueEnum;

use crate::exit::Failure;

/// Form of a command's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object, for scripts.
    Json,
}

/// Prints a command's answer, and an end of line, on stdout. A reader who has gone (`| head`) has seen enough.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("the answer could not be written to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a remark on stderr; nobody is left to tell when that fails.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

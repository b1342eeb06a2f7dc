//! How the program ends: stable exit codes, and one message that says what to do.
//!
//! 0: done. 1: it ran and failed. 2: it could not start, and the message says what to mend.
//! 3: `muster doctor` found something that has failed.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use miette::MietteDiagnostic;

use crate::output::remark;

/// Exit status of a doctor who found something.
pub(crate) const UNHEALTHY: u8 = 3;

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// Something that the user can mend before the next start.
    pub(crate) fn setup(message: impl std::fmt::Display) -> Self {
        Self { status: 2, message: message.to_string(), help: None }
    }

    /// Something that went wrong after the start.
    pub(crate) fn run(message: impl std::fmt::Display) -> Self {
        Self { status: 1, message: message.to_string(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl std::fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// What has gone wrong, without what to do.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints the message to stderr; the exit status to end with.
    pub(crate) fn report(self) -> ExitCode {
        let mut diagnostic = MietteDiagnostic::new(self.message);
        diagnostic.help = self.help;
        // On a terminal lines are folded at its width; elsewhere a sentence stays whole, so that it can be searched for.
        if !std::io::stderr().is_terminal() {
            let unfolded = || miette::MietteHandlerOpts::new().wrap_lines(false).build();
            // Its only failure is that there is a hook already, and that one prints as well.
            let _ = miette::set_hook(Box::new(move |_| Box::new(unfolded())));
        }
        remark(&format!("{:?}", miette::Report::new(diagnostic)));
        ExitCode::from(self.status)
    }
}

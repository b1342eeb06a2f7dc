//! `muster check-history`: whether a history that `demo --history` wrote makes sense.

use std::process::ExitCode;

use loadtest::history;

use crate::cli::CheckHistoryOptions;
use crate::exit::Failure;
use crate::output::answer;

/// Checks the file; status 1 when the history has faults.
pub(crate) fn run(options: &CheckHistoryOptions) -> Result<ExitCode, Failure> {
    let entries =
        history::read(&options.file).map_err(|error| Failure::setup(format!("{}: {error}", options.file.display())))?;
    let faults = history::check(&entries, options.patience);
    let mut lines: Vec<String> = faults.iter().map(|fault| format!("fault: {fault}")).collect();
    lines.push(format!("{} entries, {} faults", entries.len(), faults.len()));
    answer(&lines.join("\n"))?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

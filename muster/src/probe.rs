//! `muster probe`: whether a program says that it is well. For container engines, whose health checks run a command
//! inside a container that has no shell.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::ProbeOptions;
use crate::exit::Failure;
use crate::http;

/// Asks once; status 1 when the answer is no, or none comes.
pub(crate) fn run(options: &ProbeOptions) -> Result<ExitCode, Failure> {
    let url = &options.url;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let asked = runtime.block_on(async { http::client(Duration::from_secs(options.seconds)).get(url).send().await });
    let status = asked.map_err(|error| Failure::run(format!("{url} does not answer: {error}")))?.status();
    if !status.is_success() {
        return Err(Failure::run(format!("{url} answers {status}")));
    }
    Ok(ExitCode::SUCCESS)
}

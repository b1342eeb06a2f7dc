//! The program around an agent: logs, runtime, signals, exit status.

use std::process::ExitCode;

use service::Shutdown;

use super::config::{AgentArgs, AgentConfig};
use super::start::{AgentError, start};
use crate::program::{Told, fail_in_log, runtime};
use crate::server::RunError;

/// Runs an agent until it has drained or lost its game: at SIGTERM or Ctrl-C; a second signal is faster.
///
/// Status 0 at the end, 2 when it cannot start or its game never does, 3 when its provider died.
pub fn main(args: &AgentArgs) -> ExitCode {
    let (filter, format) = args.log();
    service::logs::init(filter, format);
    let config = match AgentConfig::from_args(args, |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(faults) => return fail_in_log(&faults.to_string()),
    };
    let ran = match runtime() {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => Err(RunError::System(error).into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_in_log(&error.to_string()),
    }
}

async fn run(config: AgentConfig) -> Result<(), AgentError> {
    let (shutdown, hurry) = (Shutdown::new(), Shutdown::new());
    let _told = Told::listen(&shutdown, &hurry).map_err(RunError::System)?;
    start(config, shutdown, hurry).await?.wait().await
}

//! The program around a game server: command line, settings file, logs, runtime, signals, exit status.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as _, Command, FromArgMatches as _};
use game::Game;
use service::Shutdown;

use crate::config::{Args, Config};
use crate::server::{RunError, start};

/// Exit status of a server that cannot start: bad settings, a port in use.
const EXIT_SETTINGS: u8 = 2;
/// Exit status of a server whose provider is gone.
const EXIT_ORPHANED: i32 = 3;
/// Time that an orphaned server has to spool its results.
const ORPHAN_GRACE: Duration = Duration::from_millis(700);
/// Threads of the runtime: it carries the control link, the SDK, results and the admin port, never a tick.
const RUNTIME_THREADS: usize = 2;

/// The command line of a game server's program.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    args: Args,
    /// Print the game's schema as hex of its canonical bytes, and end.
    #[arg(long)]
    print_schema: bool,
}

/// The whole program of a game server: what a studio's `main` calls.
///
/// Status 0 after a drain, 2 when it cannot start (with one message that says what to do), 3 when its provider died.
pub fn main<G: Game>() -> ExitCode {
    main_from::<G>(std::env::args_os())
}

/// Like [`main`], with these arguments, the program's name first.
pub fn main_from<G: Game>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Options { args, print_schema: is_asked } = match parse(&arguments.into_iter().collect::<Vec<_>>()) {
        Ok(options) => options,
        Err(message) => return fail(&message),
    };
    if is_asked {
        return print_schema::<G>();
    }
    service::logs::init(&args.log, args.log_format);
    let config = match Config::from_args(&args, |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(faults) => return fail_in_log(&faults.to_string()),
    };
    let ran = match runtime() {
        Ok(runtime) => runtime.block_on(run::<G>(config, Shutdown::new())),
        Err(error) => Err(RunError::System(error)),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_in_log(&error.to_string()),
    }
}

/// Runs a game server until it has drained: at `shutdown`, SIGTERM or Ctrl-C; a second signal is faster. Ends the
/// process within a second when its provider is gone (see [`agones::lifeline`]).
///
/// # Errors
/// [`RunError`] when it cannot start.
pub async fn run<G: Game>(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    let hurry = Shutdown::new();
    let _told = Told::listen(&shutdown, &hurry)?;
    start::<G>(config, shutdown, hurry).await?.wait().await;
    Ok(())
}

/// The runtime of a game server or an agent.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()
}

/// Ears for signals and for the end of the provider, until it is dropped.
pub(crate) struct Told([tokio::task::JoinHandle<()>; 2]);

impl Told {
    /// Triggers `shutdown` at the first signal, and `hurry` at the second or when the provider is gone; in the latter
    /// case the process ends within a second.
    pub(crate) fn listen(shutdown: &Shutdown, hurry: &Shutdown) -> std::io::Result<Self> {
        let signals = tokio::spawn(hear_signals(Signals::new()?, shutdown.clone(), hurry.clone()));
        Ok(Self([signals, tokio::spawn(follow_lifeline(hurry.clone()))]))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn hear_signals(mut signals: Signals, shutdown: Shutdown, hurry: Shutdown) {
    signals.next().await;
    tracing::info!("told to end: running matches may finish; a second signal ends them");
    shutdown.trigger();
    signals.next().await;
    tracing::warn!("told again: ending the running matches now");
    hurry.trigger();
}

async fn follow_lifeline(hurry: Shutdown) {
    agones::lifeline::watch().await;
    hurry.trigger();
    tracing::error!("the provider of this server is gone; ending within a second");
    tokio::time::sleep(ORPHAN_GRACE).await;
    std::process::exit(EXIT_ORPHANED);
}

/// Reads the command line, and the settings file that it names.
fn parse(arguments: &[OsString]) -> Result<Options, String> {
    let command = || Options::augment_args(Command::new("gameserver").about("A dedicated game server"));
    let matches =
        |arguments: &[OsString]| command().try_get_matches_from(arguments).unwrap_or_else(|error| error.exit());
    let options = Options::from_arg_matches(&matches(arguments)).map_err(|error| error.to_string())?;
    let Some(file) = &options.args.config else { return Ok(options) };
    let given = arguments.get(1..).unwrap_or_default();
    let from_file = service::settings::file_args(&command(), given, file).map_err(|error| error.to_string())?;
    let mut all = arguments.to_vec();
    all.splice(arguments.len().min(1)..arguments.len().min(1), from_file);
    Options::from_arg_matches(&matches(&all)).map_err(|error| error.to_string())
}

/// Prints the schema for tools that know nothing of the game, such as bots.
fn print_schema<G: Game>() -> ExitCode {
    use std::io::Write as _;
    let schema = G::schema();
    if let Err(fault) = schema.validate() {
        return fail(&format!("the game's schema is faulty: {fault}"));
    }
    match writeln!(std::io::stdout(), "{}", hex::encode(schema.to_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot print the schema: {error}")),
    }
}

/// Once there is a log, what ends the program stands there, at its level: whoever started it may read nothing else.
pub(crate) fn fail_in_log(message: &str) -> ExitCode {
    if !tracing::enabled!(tracing::Level::ERROR) {
        return fail(message);
    }
    tracing::error!("cannot start: {message}");
    ExitCode::from(EXIT_SETTINGS)
}

fn fail(message: &str) -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(EXIT_SETTINGS)
}

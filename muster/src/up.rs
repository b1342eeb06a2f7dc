//! `muster up`: a platform that stays until Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use service::Shutdown;

use crate::cli::UpOptions;
use crate::console::Console;
use crate::exit::Failure;
use crate::platform::{Addresses, FleetSize, Platform, PlatformConfig};
use crate::played::PlayedGame;

/// Runs a platform until Ctrl-C or SIGTERM, then drains it.
pub(crate) fn run(options: &UpOptions) -> Result<ExitCode, Failure> {
    options.common.start_logs();
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let signals = Shutdown::new();
        signals.on_signals().map_err(Failure::setup)?;
        let platform = Platform::start(config(options)?).await?;
        let console = Console::start(options.console_listen, &platform).await?;
        println!("Muster is up. Ctrl-C drains it.");
        println!("  console     {}", console.url());
        println!("  metagame    {}", platform.url());
        println!("  metrics     {}/metrics", platform.admin_url());
        println!("  accounts in {}", options.data.display());
        println!("Send bots: muster bots --players 8 --url {}", platform.url());
        let failed = tokio::select! {
            () = signals.wait() => None,
            failure = platform.failed() => Some(failure),
        };
        // A second Ctrl-C cuts the drain short.
        let hurry = Shutdown::new();
        hurry.on_signals().map_err(Failure::setup)?;
        platform.drain(Duration::from_secs(options.drain_seconds), &hurry).await?;
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    })
}

fn config(options: &UpOptions) -> Result<PlatformConfig, Failure> {
    let game = PlayedGame::of(options.game.as_deref())?;
    Ok(PlatformConfig {
        data: options.data.clone(),
        addresses: Addresses {
            metagame: options.listen,
            allocator: options.allocator_listen,
            matchmaker: options.matchmaker_listen,
        },
        advertise: options.advertise,
        queues: game.queues(options.queues.as_deref(), None)?,
        game,
        fleet: FleetSize {
            minimum: options.fleet.servers_min,
            maximum: options.fleet.servers_max,
            buffer: options.fleet.servers_buffer,
            capacity: options.fleet.capacity,
        },
        server_env: std::collections::BTreeMap::new(),
        drain: Duration::from_secs(options.drain_seconds),
    })
}

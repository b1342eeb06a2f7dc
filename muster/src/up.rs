//! `muster up`: a platform that stays until Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use service::Shutdown;

use crate::cli::{FleetOptions, UpOptions};
use crate::console::Console;
use crate::exit::Failure;
use crate::output::answer;
use crate::platform::{Addresses, FleetSize, Platform, PlatformConfig};
use crate::played::PlayedGame;

/// How long the first game servers may take until the platform says that it is up all the same.
const WARM: Duration = Duration::from_secs(10);

/// Runs a platform until Ctrl-C or SIGTERM, then drains it.
pub(crate) fn run(options: &UpOptions) -> Result<ExitCode, Failure> {
    options.common.start_logs();
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let signals = Shutdown::new();
        signals.on_signals().map_err(Failure::setup)?;
        let platform = Platform::start(config(options)?).await?;
        let console = Console::start(options.console_listen, platform.reach()).await?;
        let console_url = console.url();
        let failed = tokio::select! {
            () = signals.wait() => None,
            failure = platform.failed() => Some(failure),
            () = stay_up(options, &platform, &console_url) => None,
        };
        // A second Ctrl-C cuts the drain short.
        let hurry = Shutdown::new();
        hurry.on_signals().map_err(Failure::setup)?;
        tracing::info!(seconds = options.drain_seconds, "draining; another Ctrl-C ends the running matches now");
        let drained = platform.drain(Duration::from_secs(options.drain_seconds), &hurry).await;
        failed.map_or(drained, Err).map(|()| ExitCode::SUCCESS)
    })
}

/// Says what is where as soon as matches can be played. Never returns.
async fn stay_up(options: &UpOptions, platform: &Platform, console: &str) {
    if !platform.is_warm_within(WARM).await {
        tracing::warn!("too few game servers are ready, so players wait; their lines in this log say why");
    }
    let (api, admin) = (&platform.reach().metagame_url, &platform.reach().admin_url);
    let data = options.data.display();
    let said = answer(&format!(
        "Muster is up. Ctrl-C drains it.\n  console     {console}\n  metagame    {api}\n  metrics     {admin}/metrics\n  \
         operators   {admin}/ui (sign in with: muster operator-token YOUR-NAME --data {data})\n  \
         accounts in {data}\nSend bots: muster bots --players 8 --url {api}"
    ));
    if let Err(failure) = said {
        // Nobody's match depends on that.
        tracing::warn!(reason = failure.message(), "nobody was told that the platform is up");
    }
    std::future::pending::<()>().await;
}

fn config(options: &UpOptions) -> Result<PlatformConfig, Failure> {
    let FleetOptions { servers_min, servers_max, .. } = options.fleet;
    if servers_min > servers_max {
        return Err(Failure::setup(format!("--servers-min {servers_min} is more than --servers-max {servers_max}")));
    }
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
        database: options.database.location(&options.data)?,
        webhooks: options.webhooks.read()?,
        identity: options.identity.read()?,
        parts: options.parts.read()?,
        drain: Duration::from_secs(options.drain_seconds),
    })
}

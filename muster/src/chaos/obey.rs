//! `muster chaos-platform`: a platform in a process of its own, which `muster demo --chaos` gives orders, kills, and starts
//! again on the same data folder. Orders come on standard input; when that ends, so does the platform.

use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use service::Shutdown;
use tokio::sync::mpsc;

use super::orders::{Answer, Begin, Order, Server};
use crate::cli::ChaosPlatformOptions;
use crate::exit::Failure;
use crate::output;
use crate::platform::{Addresses, Platform, PlatformConfig};
use crate::played::PlayedGame;

/// Orders that wait: chaos gives one at a time.
const ORDERS_MAX: usize = 4;

/// Runs a platform by the orders on standard input.
pub(crate) fn run(options: &ChaosPlatformOptions) -> Result<ExitCode, Failure> {
    service::logs::init(&options.log, service::logs::Format::Auto);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let mut lines = lines();
        let begin = lines.recv().await.ok_or_else(|| Failure::setup("nobody says what to run"))?;
        let platform = Platform::start(config(&parse::<Begin>(&begin)?)?).await?;
        answer(&Answer::Done)?;
        obey(platform, &mut lines, Duration::from_secs(parse::<Begin>(&begin)?.drain_seconds)).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Lines of standard input, read by a thread that nothing has to wait for at the end.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(ORDERS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn config(begin: &Begin) -> Result<PlatformConfig, Failure> {
    let game = PlayedGame::of(None)?;
    let queues = game.queues(begin.queues.as_deref(), begin.queues.is_none().then_some(begin.match_seconds))?;
    Ok(PlatformConfig {
        data: begin.data.clone(),
        addresses: Addresses { metagame: begin.metagame, allocator: begin.allocator, matchmaker: begin.matchmaker },
        advertise: begin.metagame.ip(),
        queues,
        game,
        fleet: begin.fleet,
        database: begin.database.location(&begin.data)?,
        webhooks: begin.webhooks.read()?,
        identity: None,
        parts: begin.parts.read()?,
        drain: Duration::from_secs(begin.drain_seconds),
    })
}

/// Obeys until the platform has drained.
async fn obey(platform: Platform, lines: &mut mpsc::Receiver<String>, drain: Duration) -> Result<(), Failure> {
    loop {
        let order = tokio::select! {
            line = lines.recv() => match line {
                Some(line) => parse(&line)?,
                // Whoever gave the orders is gone.
                None => Order::Hurry,
            },
            failure = platform.failed() => return Err(failure),
        };
        let done = match order {
            Order::Servers => {
                let servers =
                    platform.servers().into_iter().map(|server| Server { name: server.name, pid: server.pid });
                answer(&Answer::Servers { servers: servers.collect(), most: platform.server_processes_max() })?;
                continue;
            }
            Order::StopAllocator => {
                platform.stop_allocator().await;
                Ok(())
            }
            Order::StartAllocator => platform.start_allocator().await,
            Order::RestartMetagame => platform.restart_metagame().await,
            Order::Drain => return end(platform, lines, drain).await,
            Order::Hurry => {
                let hurry = Shutdown::new();
                hurry.trigger();
                return platform.drain(drain, &hurry).await;
            }
        };
        answer(&of(done))?;
    }
}

/// Drains; at once when the next line says so, or there is none.
async fn end(platform: Platform, lines: &mut mpsc::Receiver<String>, drain: Duration) -> Result<(), Failure> {
    let hurry = Shutdown::new();
    let impatient = async {
        lines.recv().await;
        hurry.trigger();
        std::future::pending::<()>().await;
    };
    let drained = tokio::select! {
        drained = platform.drain(drain, &hurry) => drained,
        () = impatient => Ok(()),
    };
    answer(&of(drained))
}

fn of(done: Result<(), Failure>) -> Answer {
    done.map_or_else(|failure| Answer::Failed(failure.message().to_owned()), |()| Answer::Done)
}

fn answer(answer: &Answer) -> Result<(), Failure> {
    output::answer(&serde_json::to_string(answer).expect("an answer is plain data"))
}

fn parse<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, Failure> {
    serde_json::from_str(line).map_err(|error| Failure::setup(format!("\"{line}\" is no order: {error}")))
}

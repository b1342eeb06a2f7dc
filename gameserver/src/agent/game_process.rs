//! The game beside the agent: started where that is asked for, watched in any case.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use agones::local::process::{Launch, Process};
use agones::local::{Lifeline, output};
use service::Shutdown;

use super::config::GameCommand;
use super::desk::Desk;

/// How often deadlines are looked at, and whether the game was heard.
const LOOK: Duration = Duration::from_millis(100);
/// From SIGTERM to SIGKILL at the end, when no match runs any more.
const GRACE: Duration = Duration::from_secs(5);

/// Where the game listens: as told, or at a port that was free a moment ago. A game that finds it taken after all ends,
/// and with it this server; its fleet starts another.
pub(super) fn choose_port(bind: SocketAddr) -> std::io::Result<SocketAddr> {
    if bind.port() != 0 {
        return Ok(bind);
    }
    UdpSocket::bind(bind)?.local_addr()
}

/// Starts the game.
pub(super) fn start(game: &GameCommand, bind: SocketAddr, agent: SocketAddr) -> std::io::Result<Process> {
    let (port, url) = (bind.port().to_string(), format!("http://{agent}"));
    let fill = |word: &String| word.replace("{port}", &port).replace("{agent}", &url);
    let launch = Launch {
        command: game.words.iter().map(fill).collect(),
        env: BTreeMap::from([("MUSTER_BIND".to_owned(), bind.to_string()), ("MUSTER_AGENT".to_owned(), url)]),
        // They are the agent's: a game that speaks to Agones by itself would contradict it, and no game needs the keys.
        env_hidden: ["AGONES_SDK_GRPC_HOST", "AGONES_SDK_GRPC_PORT", "MUSTER_SERVICE_KEY", "MUSTER_POD_TOKEN"]
            .map(str::to_owned)
            .into(),
        folder: game.folder.clone(),
        lifeline: Lifeline::Supervised,
    };
    let (process, stdout, stderr) = Process::start(&launch)?;
    tokio::spawn(output::forward("game".to_owned(), stdout));
    tokio::spawn(output::forward("game".to_owned(), stderr));
    Ok(process)
}

/// Watches the game until `stop`, and ends it then. `heard_within`: see
/// [`AgentConfig`](super::config::AgentConfig::heard_within).
pub(super) async fn watch(desk: Desk, mut process: Option<Process>, heard_within: Option<Duration>, stop: Shutdown) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            status = exit_of(&mut process) => {
                process = None;
                desk.game_gone(&format!("the game ended: {status}"));
            }
            _ = look.tick() => {
                if let Some(within) = heard_within
                    && let Some(silent) = silence(&desk)
                    && silent >= within
                {
                    desk.game_gone(&format!("the game was not heard for {} s", silent.as_secs()));
                }
                desk.look();
            }
            () = stop.wait() => break,
        }
    }
    let Some(mut process) = process else { return };
    process.terminate(Lifeline::Supervised);
    if tokio::time::timeout(GRACE, process.wait()).await.is_err() {
        tracing::warn!("the game does not end; killing it");
        process.kill_group();
    }
}

/// How long the game was not heard, once it was heard.
pub(super) fn silence(desk: &Desk) -> Option<Duration> {
    desk.read(|book, now| book.heard_at_ms().map(|at| Duration::from_millis(now.ms.saturating_sub(at))))
}

async fn exit_of(process: &mut Option<Process>) -> String {
    match process {
        Some(process) => match process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        },
        None => std::future::pending().await,
    }
}

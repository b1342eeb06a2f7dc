//! Serving clients of the GameMesh backend (`--compat gamemesh`): their addresses and bodies over the parts that there are.
//!
//! `api/gamemesh` answers their requests; [`carrier`] makes their WebSocket a connection of the gateway; [`scores`] tells
//! them of scores that have changed. What differs from their own server is in the book.

pub(crate) mod carrier;
pub(crate) mod scores;

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::pb::QueueStatus;
use service::Shutdown;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::problem::Problem;
use crate::tickets::Tickets;

/// How old what is said of queues may be: clients ask it every moment.
const QUEUES_LIFE: Duration = Duration::from_millis(500);

/// What serving clients of GameMesh needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameMeshSettings {
    /// The leaderboard; players may write scores where it is marked `client_writable`.
    pub board: String,
    /// The queue; without one the only queue that there is.
    pub queue: Option<String>,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct GameMesh {
    pub(crate) settings: GameMeshSettings,
    queues: Mutex<Option<(Instant, Arc<[QueueStatus]>)>>,
}

impl GameMesh {
    pub(crate) fn new(settings: GameMeshSettings) -> Self {
        Self { settings, queues: Mutex::default() }
    }

    /// The queue as it stood a moment ago.
    pub(crate) async fn queue(&self, tickets: &Tickets) -> Result<QueueStatus, Problem> {
        let mut kept = self.queues.lock().await;
        let fresh = kept.as_ref().filter(|(at, _)| at.elapsed() < QUEUES_LIFE).map(|(_, queues)| Arc::clone(queues));
        let queues = match fresh {
            Some(queues) => queues,
            None => {
                let asked: Arc<[QueueStatus]> = tickets.queues().await?.into();
                *kept = Some((Instant::now(), Arc::clone(&asked)));
                asked
            }
        };
        drop(kept);
        let found = match &self.settings.queue {
            Some(name) => queues.iter().find(|queue| queue.name == *name),
            None => queues.first().filter(|_| queues.len() == 1),
        };
        found.cloned().ok_or_else(|| {
            let detail = "it is not clear which queue is meant: the operator names one with --compat-queue";
            Problem::unavailable("no-queue", detail, 60)
        })
    }
}

/// What goes on in the background, where these clients are served.
pub(crate) fn start(app: &App, shutdown: &Shutdown) -> Option<JoinHandle<()>> {
    let board = app.gamemesh.as_ref()?.settings.board.clone();
    if !app.ranks.boards().is_named(&board) {
        tracing::warn!(board, "players write no scores: --leaderboards names no board of this id");
    }
    Some(tokio::spawn(scores::tell(app.clone(), board, shutdown.clone())))
}

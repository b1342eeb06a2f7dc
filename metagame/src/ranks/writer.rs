//! Scores are written in groups: what has queued while the database was busy with the group before goes into one statement,
//! so that a commit is shared by all who wait for it. Each is answered after its commit.

use std::collections::HashMap;
use std::sync::Arc;

use service::Shutdown;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::core::leaderboard::Board;
use crate::store::{EntryRow, ScoreWrite, Store, StoreError};

/// Callers that may wait; those beyond are told to come back.
const QUEUE_MAX: usize = 2_048;
/// Scores of one group: a statement of some thousand rows ends well within its patience.
const GROUP_MAX: usize = 2_048;

type Answer = Result<Vec<EntryRow>, StoreError>;

struct Job {
    board: Arc<Board>,
    season: u64,
    writes: Vec<ScoreWrite>,
    reply: oneshot::Sender<Answer>,
}

/// The way to the task that writes.
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// Starts the task; it ends after `shutdown` with what has queued.
    pub(super) fn start(store: Store, shutdown: &Shutdown) -> (Self, JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        (Self(queue), tokio::spawn(write_groups(store, jobs, shutdown.clone())))
    }

    /// Has scores written; returns after the commit, with the rows of these players.
    pub(super) async fn write(&self, board: Arc<Board>, season: u64, writes: Vec<ScoreWrite>) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Job { board, season, writes, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("it was closed".into()),
        })?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("it was closed".into())))
    }
}

async fn write_groups(store: Store, mut jobs: mpsc::Receiver<Job>, shutdown: Shutdown) {
    loop {
        let first = tokio::select! {
            first = jobs.recv() => first,
            () = shutdown.wait(), if !jobs.is_closed() => {
                // Requests under way may still come with scores: what has queued is written, the rest is told to come back.
                jobs.close();
                continue;
            }
        };
        let Some(first) = first else { return };
        let mut scores = first.writes.len();
        let mut group = vec![first];
        while scores < GROUP_MAX
            && let Ok(job) = jobs.try_recv()
        {
            scores += job.writes.len();
            group.push(job);
        }
        write_group(&store, group).await;
    }
}

async fn write_group(store: &Store, group: Vec<Job>) {
    let mut by_season = HashMap::<(String, u64), Vec<Job>>::new();
    for job in group {
        by_season.entry((job.board.id.clone(), job.season)).or_default().push(job);
    }
    for ((_, season), jobs) in by_season {
        let board = Arc::clone(&jobs[0].board);
        let writes = jobs.iter().flat_map(|job| job.writes.iter().cloned()).collect();
        let done = store.write_scores(&board, season, writes, service::clock::unix_ms()).await;
        let rows = done.map(|rows| rows.into_iter().map(|row| (row.player, row)).collect::<HashMap<_, _>>());
        for job in jobs {
            let own = |rows: &HashMap<_, EntryRow>| {
                job.writes.iter().filter_map(|write| rows.get(&write.player).cloned()).collect()
            };
            // Whoever went away has its scores all the same.
            let _ = job.reply.send(rows.as_ref().map(own).map_err(Clone::clone));
        }
    }
}

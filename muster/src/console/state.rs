//! What the console's tasks share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service::Shutdown;
use tokio::sync::{Semaphore, watch};

use super::board::{Board, Reading};
use super::collect::Sources;

/// Requests at once, streams among them.
const REQUESTS_MAX: usize = 256;
/// Streams of the overview at once.
const VIEWERS_MAX: usize = 64;
/// Live views at once.
const LIVE_MAX: usize = 32;

/// Shared by every request and task.
pub(super) struct State {
    pub(super) sources: Sources,
    board: Mutex<Board>,
    /// The newest overview as JSON.
    pub(super) overview: watch::Sender<Arc<str>>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) viewers: Arc<Semaphore>,
    pub(super) live: Arc<Semaphore>,
    pub(super) shutdown: Shutdown,
}

impl State {
    /// Nothing is known yet of the platform whose players' API is at `api`.
    pub(super) fn new(sources: Sources, api: String, shutdown: Shutdown) -> Self {
        Self {
            sources,
            board: Mutex::new(Board::new(api)),
            overview: watch::channel("null".into()).0,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
            live: Arc::new(Semaphore::new(LIVE_MAX)),
            shutdown,
        }
    }

    /// Everything that is known. Never held over an await.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a reading to everyone.
    pub(super) fn publish(&self, reading: Reading) {
        let overview: Arc<str> = {
            let mut board = self.board();
            board.take(reading);
            board.overview().to_string().into()
        };
        self.overview.send_replace(overview);
    }
}

//! Where reports come in.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::PlayerId;
use service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::TelemetrySettings;
use super::writer::Writer;
use crate::app::too_many;
use crate::config::Rate;
use crate::core::telemetry::plan::Plan;
use crate::core::telemetry::report::Report;
use crate::limits::Buckets;
use crate::metrics;
use crate::problem::Problem;
use crate::store::Store;
use crate::store::telemetry::TelemetryLog;
use crate::vault::Vault;

/// Batches that may wait; their bytes are bounded besides.
const BATCHES_MAX: usize = 4_096;
/// Batches of one account: a client that gathers for some seconds needs far fewer.
const PER_ACCOUNT: Rate = Rate { per_second: 1.0, burst: 20.0 };

/// Reports of one request, and the room that they take.
pub(super) struct Batch {
    pub(super) reports: Vec<Report>,
    _place: OwnedSemaphorePermit,
}

/// Memory for what waits, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    bytes_max: usize,
}

impl Room {
    fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    fn place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }

    /// Says in the metrics how much is in use.
    pub(super) fn tell(&self) {
        metrics::telemetry_waiting(self.bytes_max.saturating_sub(self.free.available_permits()));
    }
}

/// The way to the task that writes.
pub(crate) struct Intake {
    plan: Arc<Plan>,
    /// Where reports are kept, for whoever reads.
    pub(crate) log: TelemetryLog,
    queue: mpsc::Sender<Batch>,
    room: Room,
    by_account: Mutex<Buckets<PlayerId>>,
    /// The task, until it is started.
    writer: Mutex<Option<(Writer, mpsc::Receiver<Batch>)>>,
}

impl Intake {
    /// An intake for reports that are kept in this log.
    pub(crate) fn new(settings: &TelemetrySettings, log: TelemetryLog, store: Store, vault: Arc<Vault>) -> Self {
        let (queue, batches) = mpsc::channel(BATCHES_MAX);
        let (plan, room) = (Arc::new(settings.plan.clone()), Room::new(settings.waiting_bytes_max));
        let writer = Writer::new(Arc::clone(&plan), log.clone(), store, vault, room.clone());
        let by_account = Mutex::new(Buckets::new(PER_ACCOUNT));
        Self { plan, log, queue, room, by_account, writer: Mutex::new(Some((writer, batches))) }
    }

    /// Starts the task that writes; it ends after `shutdown` with what has queued. Once.
    pub(crate) fn start(&self, shutdown: &Shutdown) -> Option<JoinHandle<()>> {
        let (writer, batches) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(tokio::spawn(writer.run(batches, shutdown.clone())))
    }

    /// What is expected.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Counts a batch against its account.
    pub(crate) fn limit(&self, player: PlayerId, now_ms: u64) -> Result<(), Problem> {
        let taken = self.by_account.lock().unwrap_or_else(PoisonError::into_inner).take(player, now_ms);
        taken.map_err(|seconds| too_many("telemetry", seconds))
    }

    /// Takes a batch whole, or not at all; whether it was taken. Never waits.
    pub(crate) fn offer(&self, reports: Vec<Report>) -> bool {
        let count = reports.len();
        let bytes = reports.iter().map(|report| report.bytes).sum::<usize>();
        let place = self.room.place(bytes);
        let is_taken = place.is_some_and(|place| self.queue.try_send(Batch { reports, _place: place }).is_ok());
        if !is_taken {
            metrics::telemetry("no_room", count);
        }
        self.room.tell();
        is_taken
    }
}

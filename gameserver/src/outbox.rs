//! What a room sends, on its way from the tick thread to the I/O thread.
//!
//! | what | bound | when it is reached |
//! |---|---|---|
//! | snapshots | [`BATCHES_MAX`] ticks | dropped and counted; the next tick makes newer ones |
//! | messages and bulk | [`UNSENT_BYTES_MAX`] | kept for the next tick; beyond the bound the room fails |
//!
//! Batches go back and forth between the threads, so a tick allocates nothing once they have grown.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use game::RoomSink;
use netcode::replication::SeatId;

/// Ticks whose output waits for the I/O thread.
pub const BATCHES_MAX: usize = 8;
/// Bytes of messages and bulk transfers that one room may have waiting for the I/O thread.
pub const UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One piece of a room's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// What follows for the seat is for the session of this taking. What came before was for an older session, whose
    /// client knew things that the newer one does not.
    Begin {
        /// The seat.
        seat: SeatId,
        /// Number of the taking, from [`RoomEvent::Joined`](crate::inbox::RoomEvent::Joined).
        join: u32,
    },
    /// The newest state for a seat.
    Snapshot {
        /// To whom.
        seat: SeatId,
        /// Comes back when it was delivered.
        tag: u32,
        /// Its bytes in the batch.
        bytes: Range<usize>,
    },
    /// A reliable message.
    Message {
        /// To whom.
        seat: SeatId,
        /// Its bytes in the batch.
        bytes: Range<usize>,
    },
    /// A bulk transfer.
    Bulk {
        /// To whom.
        seat: SeatId,
        /// All of it.
        bytes: Vec<u8>,
    },
}

/// The output of one tick, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// What to send.
    pub entries: Vec<Out>,
    bytes: Vec<u8>,
    snapshot_bytes: usize,
}

impl Batch {
    /// Bytes of an entry.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Bytes of all snapshots in it.
    pub fn snapshot_bytes(&self) -> usize {
        self.snapshot_bytes
    }

    fn append(&mut self, payload: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        start..self.bytes.len()
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.snapshot_bytes = 0;
    }

    /// Removes the snapshots, and returns how many there were.
    fn drop_snapshots(&mut self) -> usize {
        let before = self.entries.len();
        let old = std::mem::take(&mut self.bytes);
        self.snapshot_bytes = 0;
        let mut kept = Vec::new();
        for entry in self.entries.drain(..) {
            match entry {
                Out::Snapshot { .. } => {}
                Out::Message { seat, bytes } => {
                    let start = self.bytes.len();
                    self.bytes.extend_from_slice(&old[bytes]);
                    kept.push(Out::Message { seat, bytes: start..self.bytes.len() });
                }
                other @ (Out::Bulk { .. } | Out::Begin { .. }) => kept.push(other),
            }
        }
        self.entries = kept;
        before - self.entries.len()
    }

    fn unsent_bytes(&self) -> usize {
        let bulk = |entry: &Out| if let Out::Bulk { bytes, .. } = entry { bytes.len() } else { 0 };
        self.bytes.len() + self.entries.iter().map(bulk).sum::<usize>()
    }
}

impl RoomSink for Batch {
    fn snapshot(&mut self, seat: SeatId, tag: u32, payload: &[u8]) {
        let bytes = self.append(payload);
        self.snapshot_bytes += payload.len();
        self.entries.push(Out::Snapshot { seat, tag, bytes });
    }

    fn message(&mut self, seat: SeatId, payload: &[u8]) {
        let bytes = self.append(payload);
        self.entries.push(Out::Message { seat, bytes });
    }

    fn bulk(&mut self, seat: SeatId, payload: Vec<u8>) {
        self.entries.push(Out::Bulk { seat, bytes: payload });
    }
}

/// The I/O thread has not taken a room's output for so long that messages would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the I/O thread does not take the room's output: {UNSENT_BYTES_MAX} bytes of messages wait")]
pub struct Stalled;

/// Output on its way to the I/O thread.
#[derive(Debug, Default)]
pub struct Outbox {
    full: Mutex<VecDeque<Batch>>,
    spare: Mutex<Vec<Batch>>,
    dropped: AtomicU64,
}

impl Outbox {
    /// Hands a tick's batch over and leaves an empty one in its place. If too many wait, the snapshots are dropped
    /// and the messages stay in `batch` for the next tick.
    ///
    /// # Errors
    /// [`Stalled`] when more than [`UNSENT_BYTES_MAX`] wait.
    pub fn send(&self, batch: &mut Batch) -> Result<(), Stalled> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        let mut full = lock(&self.full);
        if full.len() < BATCHES_MAX {
            let mut spare = lock(&self.spare).pop().unwrap_or_default();
            std::mem::swap(&mut spare, batch);
            full.push_back(spare);
            return Ok(());
        }
        drop(full);
        let dropped = batch.drop_snapshots();
        self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        if batch.unsent_bytes() > UNSENT_BYTES_MAX { Err(Stalled) } else { Ok(()) }
    }

    /// The oldest batch. Give it back by [`recycle`](Self::recycle).
    pub fn take(&self) -> Option<Batch> {
        lock(&self.full).pop_front()
    }

    /// Takes a sent batch back to be filled again.
    pub fn recycle(&self, mut batch: Batch) {
        batch.clear();
        let mut spare = lock(&self.spare);
        if spare.len() < BATCHES_MAX {
            spare.push(batch);
        }
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        lock(&self.full).is_empty()
    }

    /// Snapshots dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// No code panics while it holds one of these locks, so a poisoned one still holds whole data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: SeatId = SeatId(0);

    #[test]
    fn a_slow_io_thread_loses_snapshots_but_no_message() {
        let outbox = Outbox::default();
        let mut batch = Batch::default();
        for tag in 0..=u32::try_from(BATCHES_MAX).expect("small") {
            batch.snapshot(SEAT, tag, b"state");
            batch.message(SEAT, &[7, u8::try_from(tag).expect("small")]);
            outbox.send(&mut batch).expect("within bounds");
        }
        assert_eq!(outbox.dropped(), 1);
        let mut messages = Vec::new();
        let mut read = |batch: &Batch| {
            for entry in &batch.entries {
                if let Out::Message { bytes, .. } = entry {
                    messages.push(batch.bytes(bytes.clone())[1]);
                }
            }
        };
        let first = outbox.take().expect("a batch");
        read(&first);
        outbox.recycle(first);
        outbox.send(&mut batch).expect("room again");
        assert!(batch.entries.is_empty(), "the batch was exchanged for an empty one");
        while let Some(batch) = outbox.take() {
            read(&batch);
        }
        assert_eq!(messages, (0..=u8::try_from(BATCHES_MAX).expect("small")).collect::<Vec<_>>());
    }

    #[test]
    fn messages_that_nobody_takes_fail_the_room_before_memory_runs_out() {
        let outbox = Outbox::default();
        let mut batch = Batch::default();
        let megabyte = vec![0; 1024 * 1024];
        let failed = (0..64).find(|_| {
            batch.bulk(SEAT, megabyte.clone());
            outbox.send(&mut batch) == Err(Stalled)
        });
        assert!(failed.is_some_and(|n| n <= BATCHES_MAX + 9), "{failed:?}");
    }
}

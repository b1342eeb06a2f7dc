//! What the clients of a run count together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by server and clients.
#[derive(Default)]
pub struct Counts {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    snapshots: AtomicU64,
    snapshot_bytes: AtomicU64,
    connected: AtomicU64,
    stop: AtomicBool,
}

/// A reading.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    /// Datagrams that arrived.
    pub datagrams: u64,
    /// Their UDP payload.
    pub bytes: u64,
    /// Snapshots that arrived whole.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes: u64,
}

impl Counts {
    /// A datagram has arrived.
    pub fn datagrams(&self, count: u64, bytes: u64) {
        self.datagrams.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A snapshot has arrived.
    pub fn snapshot(&self, bytes: usize) {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        self.snapshot_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A client has connected.
    pub fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are connected.
    pub fn clients(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Ends the clients.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The counts by now.
    pub fn read(&self) -> Counted {
        Counted {
            datagrams: self.datagrams.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            snapshots: self.snapshots.load(Ordering::Relaxed),
            snapshot_bytes: self.snapshot_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Counted {
    /// What came since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            datagrams: self.datagrams - before.datagrams,
            bytes: self.bytes - before.bytes,
            snapshots: self.snapshots - before.snapshots,
            snapshot_bytes: self.snapshot_bytes - before.snapshot_bytes,
        }
    }
}

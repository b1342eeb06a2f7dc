//! What a step gives to its shell: what to send, and what it did.

use netcode::replication::SeatId;
use protocol::tick::Tick;

pub use crate::input_buffer::InputCounts;

/// Takes what a step sends.
pub trait RoomSink {
    /// A snapshot, to be sent unreliably; its delivery is reported with the tag.
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]);
    /// A reliable message.
    fn message(&mut self, seat: SeatId, bytes: &[u8]);
    /// A bulk transfer.
    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>);
    /// A phase of the step begins, for measuring.
    fn phase(&mut self, _phase: Phase) {}
}

/// The phases of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Joins, leaves and messages reach the game.
    Events,
    /// Each seat's input for this tick is taken from its buffer.
    Inputs,
    /// The game advances.
    Step,
    /// The world is hashed and recorded.
    Record,
    /// Reliable messages leave.
    Messages,
    /// Interest is asked and snapshots are written.
    Snapshots,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepReport {
    /// The tick that was run; unchanged when the match had ended before.
    pub tick: Tick,
    /// Whether the match has ended: in this step or before.
    pub ended: bool,
    /// Players on their seats.
    pub players: usize,
    /// Living entities.
    pub entities: usize,
    /// Snapshots written.
    pub snapshots: usize,
    /// Their bytes.
    pub snapshot_bytes: usize,
    /// Entities that snapshots mentioned, over all clients.
    pub mentioned: usize,
    /// Entities that did not fit into a snapshot, over all clients.
    pub deferred: usize,
    /// What became of inputs since the step before.
    pub inputs: InputCounts,
    /// Messages of clients or the game that broke a limit since the step before.
    pub messages_refused: u64,
    /// Events since the step before for seats where nobody is.
    pub events_refused: u64,
}

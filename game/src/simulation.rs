//! Seeded matches over an emulated network, checked while they run.
//!
//! [`simulate`] plays one whole match in virtual time: one real server endpoint with a [`Room`](crate::Room), real client
//! endpoints with replicas, and between them an emulated network whose loss, latency, jitter, reordering and
//! duplication, and whose mishaps (a client crashes and comes back, a link goes dark), are drawn from the seed.
//! While it runs it checks that
//!
//! - every snapshot that a client applies shows what the server recorded for its tick;
//! - no client is stuck: what it shows is at most two seconds old, unless its link is dark;
//! - every reliable message arrives exactly once and in order, both ways, to the very last; after a crash, the server's
//!   go on without a gap (with odd seeds the client resumes, and they go on exactly once);
//! - the match runs again from its input log to the same state hash.
//!
//! The same seed and configuration give the same report. A failure names the seed.

mod client;
mod plan;
mod run;
mod server;

pub use run::simulate;

use netcode::emulator::{Conditions, Random};
use netcode::replication::{Mismatch, SeatId, SnapshotError, View};
use protocol::tick::Tick;

use crate::input::Input;
use crate::replay::ReplayError;
use crate::rules::StartError;
use crate::setup::Settings;
use crate::sink::InputCounts;

/// What is simulated. What is not here is drawn from the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Players, 1 to 64.
    pub players: u8,
    /// Teams; player `n` is in team `n % teams`.
    pub teams: u32,
    /// Ticks per second.
    pub tick_rate_hz: u32,
    /// The match is aborted when it has lasted this long.
    pub seconds: u32,
    /// Most entities.
    pub entities_max: u16,
    /// Settings for the game.
    pub settings: Settings,
    /// The network of every client, both ways; `None`: drawn from the seed, up to 20 % loss and 150 ms.
    pub conditions: Option<Conditions>,
    /// Whether clients crash and links go dark.
    pub mishaps: bool,
}

/// What a bot sees and does in one tick.
pub struct BotTurn<'a> {
    /// The bot's seat.
    pub seat: SeatId,
    /// The tick that the input is for.
    pub tick: Tick,
    /// The newest thing that its client knows.
    pub view: &'a View,
    /// Randomness of this bot.
    pub random: &'a mut Random,
    /// The input; begins as the one before.
    pub input: &'a mut Input,
}

/// What a simulated match came to.
#[derive(Debug, Clone, PartialEq)]
pub struct SimReport {
    /// The seed.
    pub seed: u64,
    /// The network of every client.
    pub conditions: Conditions,
    /// Ticks played.
    pub ticks: u32,
    /// Hash of the whole history.
    pub state_hash: u64,
    /// Why the match ended.
    pub reason: String,
    /// Snapshots that clients applied, each compared with the server's history.
    pub snapshots_verified: u64,
    /// Bytes of all snapshots.
    pub snapshot_bytes: u64,
    /// Most entities at once.
    pub entities_most: usize,
    /// Reliable messages that arrived, both ways.
    pub messages: u64,
    /// What became of the inputs.
    pub inputs: InputCounts,
    /// Sessions that began: one per player, and one more per crash or failed handshake.
    pub sessions: u32,
    /// The oldest that a connected client's newest view ever was, in milliseconds; links in the dark do not count.
    pub view_age_ms_max: u32,
}

/// A check that failed, with everything needed to see it again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("seed {seed}, tick {tick}: {fault}")]
pub struct SimFailure {
    /// The seed.
    pub seed: u64,
    /// The server's tick.
    pub tick: u32,
    /// What went wrong.
    pub fault: Fault,
}

/// What can go wrong in a simulation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The match does not begin.
    #[error("{0}")]
    Start(StartError),
    /// A replica does not show what the server sent.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// A client could not apply a snapshot.
    #[error("{seat:?} could not apply a snapshot: {error}")]
    Snapshot {
        /// The client.
        seat: SeatId,
        /// Why.
        error: SnapshotError,
    },
    /// A client's view is too old.
    #[error("{seat:?} is stuck: its newest view is {age_ms} ms old")]
    Stuck {
        /// The client.
        seat: SeatId,
        /// Age of its newest view.
        age_ms: u32,
    },
    /// A reliable message is lost, doubled or out of order.
    #[error("a reliable message {direction} {seat:?} is not the next one that was sent")]
    Order {
        /// The client.
        seat: SeatId,
        /// "to" or "from".
        direction: &'static str,
    },
    /// Reliable messages did not arrive in the 20 s after the match.
    #[error("{count} reliable messages to {seat:?} never arrived")]
    Undelivered {
        /// The client.
        seat: SeatId,
        /// How many.
        count: usize,
    },
    /// A client was disconnected.
    #[error("{seat:?} was disconnected: {what}")]
    Disconnected {
        /// The client.
        seat: SeatId,
        /// How.
        what: String,
    },
    /// The room refused what a correct client never causes.
    #[error("the room refused {what}")]
    Refused {
        /// What.
        what: &'static str,
    },
    /// The match does not run again from its log.
    #[error("{0}")]
    Replay(ReplayError),
}

//! A history of everything that players, the allocator and the one who breaks things saw, as lines of JSON, and the
//! [`check()`] that it makes sense.

mod check;
mod rooms;
mod seen;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::{MatchId, PlayerId, TicketId};
use serde::{Deserialize, Serialize};

pub use check::check;
pub use rooms::ORPHANS_GONE_WITHIN_MS;
pub use seen::{Tally, tally};

/// Something that someone saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A player's ticket was created.
    Queued {
        /// Whose.
        player: PlayerId,
        /// The ticket.
        ticket: TicketId,
    },
    /// A player saw a ticket's final state.
    Ticket {
        /// Whose.
        player: PlayerId,
        /// The ticket.
        ticket: TicketId,
        /// "completed", "cancelled", "timed_out" or "failed".
        state: String,
        /// The match of a completed one.
        #[serde(skip_serializing_if = "Option::is_none")]
        match_id: Option<MatchId>,
    },
    /// A player has its seat.
    Joined {
        /// Who.
        player: PlayerId,
        /// Where.
        match_id: MatchId,
    },
    /// A player's session broke or was broken; the seat is still the player's.
    Cut {
        /// Who.
        player: PlayerId,
        /// Where.
        match_id: MatchId,
        /// How.
        why: String,
    },
    /// A player was told that a match is over.
    Told {
        /// Who.
        player: PlayerId,
        /// The match.
        match_id: MatchId,
        /// "ended", "lost" or "closed".
        state: String,
    },
    /// A player looked for a match in the own history of matches.
    Result {
        /// Who.
        player: PlayerId,
        /// The match.
        match_id: MatchId,
        /// How often it is there.
        times: u64,
    },
    /// What a player's account came to in the end.
    Account {
        /// Whose.
        player: PlayerId,
        /// Matches that the account counts.
        counted: u64,
        /// Matches that the player's history lists.
        listed: Vec<MatchId>,
    },
    /// The allocator says that a match is joinable.
    Started {
        /// The match.
        match_id: MatchId,
        /// Name of its server.
        server: String,
        /// Its roster; empty when the allocator that says so did not place it.
        players: BTreeSet<PlayerId>,
    },
    /// The allocator says that a match has ended.
    Ended {
        /// The match.
        match_id: MatchId,
        /// Why.
        reason: String,
    },
    /// The allocator says that a match is lost.
    Lost {
        /// The match.
        match_id: MatchId,
        /// Why.
        reason: String,
    },
    /// A game server opened a room for a match, by the server's own word.
    RoomOpened {
        /// The match.
        match_id: MatchId,
        /// Name of the server.
        server: String,
    },
    /// The room is gone, by the server's own word; one that was killed says nothing.
    RoomClosed {
        /// The match.
        match_id: MatchId,
        /// Name of the server.
        server: String,
    },
    /// In the end no game server holds a match any more; or some do, and nobody waits any longer.
    OrphansGone {
        /// How long that took once the last player had left.
        after_ms: u64,
        /// Servers that still hold one.
        left: u64,
    },
    /// A game server was killed.
    ServerKilled {
        /// Its name.
        server: String,
    },
    /// As many game servers are registered and can be given a match as before one was killed; or they are not, and nobody
    /// waits any longer.
    FleetWhole {
        /// How long that took.
        after_ms: u64,
        /// How many they were before.
        servers: u64,
    },
    /// A room was made to panic.
    RoomPanicked {
        /// Its match.
        match_id: MatchId,
    },
    /// A service was stopped.
    Stopped {
        /// Its name.
        service: String,
    },
    /// A service that was stopped runs again.
    Running {
        /// Its name.
        service: String,
    },
    /// The whole platform was killed, and its game servers end with it.
    PlatformKilled {
        /// Accounts that metagame counted before.
        accounts: u64,
        /// Results that it counted before.
        results: u64,
    },
    /// The platform was started again, and matches can be placed.
    PlatformBack {
        /// How long that took from the kill on.
        after_ms: u64,
        /// Processes that outlived the killed platform for longer than they may.
        orphans: u64,
        /// Accounts that metagame counts now.
        accounts: u64,
        /// Results that it counts now.
        results: u64,
    },
    /// Something else was broken on purpose that no player may notice for good.
    Disturbed {
        /// What, in words.
        what: String,
    },
    /// The run is over; this is what metagame counts.
    Finished {
        /// Results that were recorded.
        results: u64,
        /// Results that no metagame has: what still waits in the spool.
        #[serde(default)]
        spooled: u64,
    },
}

/// An event and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unix milliseconds, by the clock of the machine that everything runs on.
    pub at_ms: u64,
    /// What was seen.
    #[serde(flatten)]
    pub event: Event,
}

/// Writes a history down, for any number of witnesses. Without a file it forgets everything.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Arc<Mutex<BufWriter<File>>>>);

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the history: {0}")]
    File(#[from] io::Error),
    /// A line is no entry.
    #[error("line {line} of the history is no entry: {error}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl Recorder {
    /// Writes to a file, replacing it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(Mutex::new(BufWriter::new(File::create(path)?))))))
    }

    /// Writes down what was seen now.
    pub fn record(&self, event: Event) {
        self.record_at(service::clock::unix_ms(), event);
    }

    /// Writes down what was seen at a time, in Unix milliseconds.
    pub fn record_at(&self, at_ms: u64, event: Event) {
        let Some(file) = &self.0 else { return };
        let line = serde_json::to_string(&Entry { at_ms, event }).expect("an entry is plain data");
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{line}") {
            tracing::error!(%error, "the history has a hole");
        }
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// If that fails.
    pub fn flush(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |file| file.lock().unwrap_or_else(PoisonError::into_inner).flush())
    }
}

/// Reads a history.
///
/// # Errors
/// [`ReadError`].
pub fn read(path: &Path) -> Result<Vec<Entry>, ReadError> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(n, line)| serde_json::from_str(line).map_err(|error| ReadError::Line { line: n + 1, error })).collect()
}

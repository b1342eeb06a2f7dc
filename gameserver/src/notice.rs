//! What the threads tell the host. At most a handful per match, so the queue that carries them needs no bound.

use protocol::id::MatchId;
use protocol::pb;

use crate::result::EndedMatch;

/// News of a match.
#[derive(Debug)]
pub enum Notice {
    /// The room is there and admits players.
    Joinable(MatchId),
    /// The game refused the match, or failed while it began.
    Refused(MatchId, String),
    /// The first tick of play has run.
    Playing(MatchId),
    /// The match has ended; a result is to be delivered.
    Ended(Box<EndedMatch>, Box<pb::MatchStats>),
    /// The room failed; no result will come.
    Failed(MatchId, String, Box<pb::MatchStats>),
    /// The match's last session is closed.
    Emptied(MatchId),
    /// Whoever plays the matches is gone, and why: no match can come here any more.
    Gone(String),
}

//! What goes into the use cases and comes out of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::certificate::{CertificateClaims, MatchResult, Participation};
use protocol::id::{MatchId, PartyId, PlayerId};
use serde::Serialize;

use crate::core::device::DeviceHash;
use crate::core::factor::StrongBy;
use crate::core::match_event::Placement;
use crate::core::match_state::{MatchState, Report};
use crate::core::name::PlayerName;
use crate::core::progression::{Progression, Standing};
use crate::core::rating::Rating;
use crate::core::session::{SessionId, TokenHash};

/// Most public keys of the allocator that are kept.
pub const ALLOCATOR_KEYS_MAX: usize = 16;

/// A login by device.
#[derive(Debug, Clone)]
pub struct DeviceLogin {
    /// The device.
    pub device: DeviceHash,
    /// Id of the account, if it has to be made: a fresh one for every login, by which a repetition knows its own.
    pub new_player: PlayerId,
    /// Name of the account, if it has to be made.
    pub name: Option<PlayerName>,
    /// The session to start.
    pub session: SessionId,
    /// Hash of its first refresh token.
    pub token: TokenHash,
    /// Most sessions of one player.
    pub sessions_max: u32,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What a login led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedIn {
    /// The account.
    pub player: PlayerId,
    /// Whether it was made just now.
    pub created: bool,
    /// Unix milliseconds at which the session ends.
    pub expires_at_ms: u64,
    /// The account is kept out until then, and no session has begun; Unix milliseconds.
    pub barred_until_ms: Option<u64>,
}

/// A refresh token that wants to be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Its family.
    pub session: SessionId,
    /// Hash of the token.
    pub presented: TokenHash,
    /// Hash of the token that would replace it.
    pub successor: TokenHash,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The successor is the session's newest token, be it now or since the first try.
    Successor {
        /// Whose session it is.
        player: PlayerId,
        /// Unix milliseconds at which it ends.
        expires_at_ms: u64,
        /// The second factor that was shown in it, and when; Unix milliseconds.
        strong: Option<(StrongBy, u64)>,
    },
    /// A copy was used: the session has ended.
    Reused,
    /// The session has ended.
    Gone,
}

/// A player's profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The player.
    pub player_id: PlayerId,
    /// Its name.
    pub name: String,
    /// Counts every change.
    pub version: u64,
    /// Unix milliseconds.
    pub created_at_ms: u64,
    /// Experience points.
    pub xp: u64,
    /// Prestige and levels, as they are written.
    pub standing: Standing,
    /// Matches played.
    pub matches: u64,
    /// Matches won.
    pub wins: u64,
    /// Rating per queue.
    pub ratings: Vec<QueueRating>,
}

/// A rating in one queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRating {
    /// The queue.
    pub queue: String,
    /// The rating.
    pub rating: Rating,
    /// Matches that were rated.
    pub matches: u64,
}

/// What became of a new name.
#[derive(Debug, Clone, PartialEq)]
pub enum Renamed {
    /// The profile has it.
    Done(Box<Profile>),
    /// The profile has another version than expected: this one.
    Stale(u64),
    /// No such player.
    Unknown,
}

/// One match of a player's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The match.
    pub match_id: MatchId,
    /// Its queue.
    pub queue: String,
    /// Unix milliseconds.
    pub ended_at_ms: u64,
    /// Why it ended.
    pub reason: String,
    /// The player's team.
    pub team: u32,
    /// The team's place.
    pub place: u32,
    /// The player's score.
    pub score: i64,
    /// Whether the player played.
    pub participation: Participation,
    /// XP granted.
    pub xp_gained: u64,
    /// Rating before.
    pub rating_before: f64,
    /// Rating after.
    pub rating_after: f64,
    /// The game's figures.
    pub stats: BTreeMap<String, i64>,
}

/// One place on a leaderboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// 1 is best.
    pub rank: u64,
    /// The player.
    pub player_id: PlayerId,
    /// Its name.
    pub name: String,
    /// Its rating.
    pub rating: Rating,
    /// Matches that were rated.
    pub matches: u64,
    /// Of these, won.
    pub wins: u64,
}

/// Whether a player may queue.
#[derive(Debug, Clone, PartialEq)]
pub enum TicketReadiness {
    /// With this name and rating.
    Ready {
        /// Name to show.
        name: String,
        /// Rating in the queue asked for.
        rating: Rating,
        /// The party that it is in, and that its leader queues.
        party: Option<PartyId>,
    },
    /// This match still holds the player.
    InMatch(MatchId),
    /// No such player.
    Unknown,
}

/// One player of a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seat {
    /// The player.
    pub player_id: PlayerId,
    /// Its team.
    pub team: u32,
    /// The name that it had.
    pub name: String,
}

/// A match as a completed ticket names it.
#[derive(Debug, Clone)]
pub struct MatchOpened {
    /// The match.
    pub match_id: MatchId,
    /// Queue that made it.
    pub queue: String,
    /// Trace id of the ticket.
    pub trace_id: String,
    /// Who plays.
    pub roster: Vec<Seat>,
    /// On what it is played, as far as it is told.
    pub placement: Placement,
    /// Unix milliseconds.
    pub placed_at_ms: u64,
}

/// What the allocator reports of a match.
#[derive(Debug, Clone)]
pub struct MatchReport {
    /// The match.
    pub match_id: MatchId,
    /// What happened.
    pub report: Report,
    /// Why.
    pub reason: String,
    /// Trace id of the match.
    pub trace_id: String,
    /// Queue that made it, where it is told.
    pub queue: String,
    /// Who plays, where it is told.
    pub roster: Vec<Seat>,
    /// On what it is played, as far as it is told.
    pub placement: Placement,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// A match.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRecord {
    /// The match.
    pub match_id: MatchId,
    /// Queue that made it; empty where only the allocator has told of it.
    pub queue: String,
    /// Where it is on its way.
    pub state: MatchState,
    /// Trace id from ticket to result.
    pub trace_id: String,
    /// Why it ended, or empty.
    pub reason: String,
    /// Unix milliseconds of the first tick.
    pub started_at_ms: Option<u64>,
    /// Unix milliseconds of the last tick.
    pub ended_at_ms: Option<u64>,
    /// Who plays.
    pub roster: Vec<Seat>,
    /// The result's JSON as it was signed.
    pub result: Option<String>,
}

/// A result whose certificate and signature fit.
#[derive(Debug, Clone)]
pub struct VerifiedResult {
    /// What the allocator certified.
    pub claims: CertificateClaims,
    /// What the server reports.
    pub result: MatchResult,
    /// The result's JSON as it was signed.
    pub body: String,
    /// SHA-256 of `body`.
    pub body_hash: [u8; 32],
    /// What the result grants and counts.
    pub progression: Arc<Progression>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It counts, now for the first time.
    First {
        /// Trace id from ticket to result.
        trace_id: String,
    },
    /// It was recorded before.
    Again,
    /// Another result was recorded before; this one is in the audit log.
    Conflict,
    /// The match was reported LOST too long ago; this one is in the audit log.
    TooLate,
}

/// Counts for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Accounts.
    pub accounts: u64,
    /// Sessions, with those that expired and were not removed yet.
    pub sessions: u64,
    /// Matches known.
    pub matches: u64,
    /// Of these, on a server and not over.
    pub matches_live: u64,
    /// Of these, lost and without a result.
    pub matches_lost: u64,
    /// Matches with a result.
    pub results_recorded: u64,
    /// XP granted in all.
    pub xp_granted: u64,
    /// Rows of the audit log.
    pub audit_entries: u64,
    /// Events in the outbox.
    pub outbox_events: u64,
}

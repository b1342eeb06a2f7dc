//! What metagame keeps, as use cases: each method is one thing that happens, whole or not at all.
//!
//! A use case decides by the rules of [`crate::core`]; an implementation only loads, asks the rule and writes within
//! one transaction. [`sqlite`] is the embedded one. Another database stands beside it and passes the same
//! `tests/store_conformance.rs`.

pub mod sqlite;
mod types;
mod webhooks;

use futures_util::future::BoxFuture;
use protocol::id::{MatchId, PlayerId, TicketId};
use tokio::sync::watch;

use crate::core::name::PlayerName;
use crate::core::page::{BoardCursor, HistoryCursor};
use crate::core::session::{SessionId, TokenHash};

pub use types::*;
pub use webhooks::*;

/// A use case under way.
pub type Doing<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why a use case did not happen. Nothing of it was written, unless the connection broke in the moment of commit;
/// every use case can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much to do; try again.
    #[error("the database is busy")]
    Busy,
    /// The database cannot be read or written (disk full, file gone, damaged).
    #[error("the database failed: {0}")]
    Failed(String),
    /// A row that no version of metagame writes.
    #[error("the database holds something unreadable: {0}")]
    Unreadable(String),
}

/// The use cases.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Finds or makes the account of a device and starts a session; the player's oldest sessions above the bound end.
    fn login_device(&self, login: DeviceLogin) -> Doing<'_, LoggedIn>;
    /// Replaces a refresh token by its successor, or ends its family.
    fn rotate_refresh(&self, rotation: Rotation) -> Doing<'_, Rotated>;
    /// Ends a session. Ending one that is gone changes nothing.
    fn logout(&self, session: SessionId) -> Doing<'_, ()>;

    /// A player's profile.
    fn profile(&self, player: PlayerId) -> Doing<'_, Option<Profile>>;
    /// Gives a player another name, if the profile still has the version `expected`.
    fn rename(&self, player: PlayerId, name: PlayerName, expected: Option<u64>) -> Doing<'_, Renamed>;
    /// A player's matches, newest first.
    fn history(&self, player: PlayerId, after: Option<HistoryCursor>, limit: u32) -> Doing<'_, Vec<HistoryEntry>>;
    /// The players of a queue, best first.
    fn leaderboard(&self, queue: String, after: Option<BoardCursor>, limit: u32) -> Doing<'_, Vec<Ranked>>;
    /// A player's place on the leaderboard of a queue.
    fn rank_of(&self, queue: String, player: PlayerId) -> Doing<'_, Option<Ranked>>;

    /// What a ticket needs to know of its player, and whether a match still holds the player.
    fn prepare_ticket(&self, player: PlayerId, queue: String, now_ms: u64) -> Doing<'_, TicketReadiness>;
    /// Notes the ticket that a player made last.
    fn remember_ticket(&self, player: PlayerId, ticket: TicketId) -> Doing<'_, ()>;
    /// The ticket that a player made last.
    fn last_ticket(&self, player: PlayerId) -> Doing<'_, Option<TicketId>>;

    /// Stores a match with its roster as a completed ticket names it. Repeating it changes nothing.
    fn open_match(&self, opened: MatchOpened) -> Doing<'_, ()>;
    /// Notes what the allocator reports of a match; old news changes nothing. Says whether anything changed. A match
    /// that started or was lost is an event.
    fn report_match(&self, report: MatchReport) -> Doing<'_, bool>;
    /// A match with its roster and result.
    fn find_match(&self, match_id: MatchId) -> Doing<'_, Option<MatchRecord>>;
    /// Matches that hold players: placed, played, or ended without a result yet.
    fn held_matches(&self, now_ms: u64) -> Doing<'_, Vec<MatchId>>;
    /// Records a verified result exactly once: result, history, XP journal, ratings and events together.
    fn record_result(&self, verified: VerifiedResult) -> Doing<'_, Recorded>;

    /// Public keys of the allocator that were seen, newest first.
    fn allocator_keys(&self) -> Doing<'_, Vec<[u8; 32]>>;
    /// Notes public keys of the allocator and forgets all but the newest [`ALLOCATOR_KEYS_MAX`].
    fn retain_allocator_keys(&self, keys: Vec<[u8; 32]>, now_ms: u64) -> Doing<'_, ()>;

    /// What operators have decided under this name.
    fn setting(&self, name: &'static str) -> Doing<'_, Option<String>>;
    /// Keeps what operators decide under this name.
    fn set_setting(&self, name: &'static str, value: String) -> Doing<'_, ()>;

    /// Names the endpoints that are told of events from now on. Others keep what they have not been told of, in case
    /// they come back.
    fn set_subscriptions(&self, subscriptions: Vec<Subscription>) -> Doing<'_, ()>;
    /// Changes when deliveries may have become due.
    fn news(&self) -> watch::Receiver<()>;
    /// What an endpoint can be told now, at most `limit`. A later event of a match waits for the earlier ones.
    fn due_deliveries(&self, endpoint: String, now_ms: u64, limit: u32) -> Doing<'_, DueDeliveries>;
    /// Notes what became of tries, all together.
    fn settle_deliveries(&self, endpoint: String, settled: Vec<Settled>) -> Doing<'_, ()>;
    /// Whatever an endpoint is still to be told of is due now.
    fn hasten_deliveries(&self, endpoint: String, now_ms: u64) -> Doing<'_, ()>;
    /// Has an endpoint told again: its dead letters, or this event, delivered or not. Says of how many events;
    /// `None` if the settings name no such endpoint.
    fn resend(&self, endpoint: String, event_id: Option<String>, now_ms: u64) -> Doing<'_, Option<u64>>;
    /// Counts of every endpoint that was ever named.
    fn backlogs(&self) -> Doing<'_, Vec<Backlog>>;
    /// Dead letters, oldest first within each endpoint.
    fn dead_letters(&self, limit: u32) -> Doing<'_, Vec<DeadLetter>>;

    /// Removes what has expired: sessions, and events older than [`EVENT_LIFE_MS`]. Says how many sessions that were.
    fn prune(&self, now_ms: u64) -> Doing<'_, u64>;
    /// Counts for operators.
    fn stats(&self) -> Doing<'_, Stats>;
    /// Whether the XP journal adds up to the profiles; the players where it does not, at most 100.
    fn xp_mismatches(&self) -> Doing<'_, Vec<PlayerId>>;
    /// Hash of a session's newest token, for tests and operators.
    fn session_hash(&self, session: SessionId) -> Doing<'_, Option<TokenHash>>;
}

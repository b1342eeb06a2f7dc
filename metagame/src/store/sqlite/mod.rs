//! The store on SQLite: one file, no server. Everything that knows SQLite is in this module.
//!
//! Write-ahead log, `synchronous=FULL`: what was acknowledged survives a power cut. One connection writes, each use
//! case within `BEGIN IMMEDIATE`, so use cases that write happen one after another and none can deadlock; others
//! read beside it. Who waits for events of matches hears of them after the commit.

mod accounts;
mod boards;
mod keys;
mod matches;
mod open;
mod outbox;
mod results;
mod settings;
mod webhooks;

use protocol::id::{MatchId, PlayerId, TicketId};
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;

use crate::core::name::PlayerName;
use crate::core::page::{BoardCursor, HistoryCursor};
use crate::core::session::{SessionId, TokenHash};
use crate::store::{
    Backlog, DeadLetter, DeviceLogin, Doing, DueDeliveries, HistoryEntry, LoggedIn, MatchOpened, MatchRecord,
    MatchReport, Profile, Ranked, Recorded, Renamed, Rotated, Rotation, Settled, Stats, Store, StoreError,
    Subscription, TicketReadiness, VerifiedResult,
};

pub use open::{OpenError, check_database};

/// The store.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Changes when deliveries may have become due.
    news: watch::Sender<()>,
}

impl SqliteStore {
    /// A transaction that writes. It waits for the one before it.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Closes the file, after the use cases under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            // 5 is SQLITE_BUSY: another process holds the file's lock longer than the busy timeout.
            sqlx::Error::Database(fault) if fault.code().as_deref() == Some("5") => Self::Busy,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Unreadable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// SQLite's integers are signed; what does not fit is a clock or a counter that nobody reaches.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn bytes<const N: usize>(blob: &[u8]) -> Result<[u8; N], StoreError> {
    blob.try_into().map_err(|_| StoreError::Unreadable(format!("a blob of {} bytes instead of {N}", blob.len())))
}

fn player(blob: &[u8]) -> Result<PlayerId, StoreError> {
    bytes(blob).map(PlayerId::from_bytes)
}

fn game(blob: &[u8]) -> Result<MatchId, StoreError> {
    bytes(blob).map(MatchId::from_bytes)
}

async fn audit(
    transaction: &mut Transaction<'static, Sqlite>,
    now_ms: u64,
    kind: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit (at_ms, kind, subject, detail) VALUES (?, ?, ?, ?)")
        .bind(int(now_ms))
        .bind(kind)
        .bind(subject)
        .bind(detail)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Store for SqliteStore {
    fn login_device(&self, login: DeviceLogin) -> Doing<'_, LoggedIn> {
        Box::pin(accounts::login_device(self, login))
    }
    fn rotate_refresh(&self, rotation: Rotation) -> Doing<'_, Rotated> {
        Box::pin(accounts::rotate_refresh(self, rotation))
    }
    fn logout(&self, session: SessionId) -> Doing<'_, ()> {
        Box::pin(accounts::logout(self, session))
    }
    fn profile(&self, player: PlayerId) -> Doing<'_, Option<Profile>> {
        Box::pin(accounts::profile(self, player))
    }
    fn rename(&self, player: PlayerId, name: PlayerName, expected: Option<u64>) -> Doing<'_, Renamed> {
        Box::pin(accounts::rename(self, player, name, expected))
    }
    fn history(&self, player: PlayerId, after: Option<HistoryCursor>, limit: u32) -> Doing<'_, Vec<HistoryEntry>> {
        Box::pin(boards::history(self, player, after, limit))
    }
    fn leaderboard(&self, queue: String, after: Option<BoardCursor>, limit: u32) -> Doing<'_, Vec<Ranked>> {
        Box::pin(boards::leaderboard(self, queue, after, limit))
    }
    fn rank_of(&self, queue: String, player: PlayerId) -> Doing<'_, Option<Ranked>> {
        Box::pin(boards::rank_of(self, queue, player))
    }
    fn prepare_ticket(&self, player: PlayerId, queue: String, now_ms: u64) -> Doing<'_, TicketReadiness> {
        Box::pin(matches::prepare_ticket(self, player, queue, now_ms))
    }
    fn remember_ticket(&self, player: PlayerId, ticket: TicketId) -> Doing<'_, ()> {
        Box::pin(matches::remember_ticket(self, player, ticket))
    }
    fn last_ticket(&self, player: PlayerId) -> Doing<'_, Option<TicketId>> {
        Box::pin(matches::last_ticket(self, player))
    }
    fn open_match(&self, opened: MatchOpened) -> Doing<'_, ()> {
        Box::pin(matches::open_match(self, opened))
    }
    fn report_match(&self, report: MatchReport) -> Doing<'_, bool> {
        Box::pin(matches::report_match(self, report))
    }
    fn find_match(&self, match_id: MatchId) -> Doing<'_, Option<MatchRecord>> {
        Box::pin(matches::find_match(self, match_id))
    }
    fn held_matches(&self, now_ms: u64) -> Doing<'_, Vec<MatchId>> {
        Box::pin(matches::held_matches(self, now_ms))
    }
    fn record_result(&self, verified: VerifiedResult) -> Doing<'_, Recorded> {
        Box::pin(results::record_result(self, verified))
    }
    fn allocator_keys(&self) -> Doing<'_, Vec<[u8; 32]>> {
        Box::pin(keys::allocator_keys(self))
    }
    fn retain_allocator_keys(&self, keys: Vec<[u8; 32]>, now_ms: u64) -> Doing<'_, ()> {
        Box::pin(keys::retain_allocator_keys(self, keys, now_ms))
    }
    fn setting(&self, name: &'static str) -> Doing<'_, Option<String>> {
        Box::pin(settings::setting(self, name))
    }
    fn set_setting(&self, name: &'static str, value: String) -> Doing<'_, ()> {
        Box::pin(settings::set_setting(self, name, value))
    }
    fn prune(&self, now_ms: u64) -> Doing<'_, u64> {
        Box::pin(accounts::prune(self, now_ms))
    }
    fn stats(&self) -> Doing<'_, Stats> {
        Box::pin(boards::stats(self))
    }
    fn xp_mismatches(&self) -> Doing<'_, Vec<PlayerId>> {
        Box::pin(boards::xp_mismatches(self))
    }
    fn set_subscriptions(&self, subscriptions: Vec<Subscription>) -> Doing<'_, ()> {
        Box::pin(webhooks::set_subscriptions(self, subscriptions))
    }
    fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }
    fn due_deliveries(&self, endpoint: String, now_ms: u64, limit: u32) -> Doing<'_, DueDeliveries> {
        Box::pin(webhooks::due_deliveries(self, endpoint, now_ms, limit))
    }
    fn settle_deliveries(&self, endpoint: String, settled: Vec<Settled>) -> Doing<'_, ()> {
        Box::pin(webhooks::settle_deliveries(self, endpoint, settled))
    }
    fn hasten_deliveries(&self, endpoint: String, now_ms: u64) -> Doing<'_, ()> {
        Box::pin(webhooks::hasten_deliveries(self, endpoint, now_ms))
    }
    fn resend(&self, endpoint: String, event_id: Option<String>, now_ms: u64) -> Doing<'_, Option<u64>> {
        Box::pin(webhooks::resend(self, endpoint, event_id, now_ms))
    }
    fn backlogs(&self) -> Doing<'_, Vec<Backlog>> {
        Box::pin(webhooks::backlogs(self))
    }
    fn dead_letters(&self, limit: u32) -> Doing<'_, Vec<DeadLetter>> {
        Box::pin(webhooks::dead_letters(self, limit))
    }
    fn session_hash(&self, session: SessionId) -> Doing<'_, Option<TokenHash>> {
        Box::pin(accounts::session_hash(self, session))
    }
}

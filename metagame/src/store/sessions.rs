//! Sessions: how they begin, and how they end before their time.

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::core::factor::StrongBy;
use crate::core::session::{Family, SessionId, TokenHash};
use crate::db::{Domain, Tx};

/// Sessions that a player's list holds at most; there never are so many.
const LISTED_MAX: u32 = 100;

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub session: SessionId,
    /// Hash of its first refresh token.
    pub token: TokenHash,
    /// How the player proved to be the player.
    pub method: &'static str,
    /// The second factor that was shown at login, if one was.
    pub strong_by: Option<StrongBy>,
    /// Most sessions of one player.
    pub sessions_max: u32,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// A session in its player's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession {
    /// Its id.
    pub session: SessionId,
    /// How it began.
    pub method: String,
    /// Unix milliseconds.
    pub created_at_ms: u64,
    /// Unix milliseconds of the newest refresh.
    pub refreshed_at_ms: u64,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

/// Access tokens that are refused before they expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The player.
    pub player: PlayerId,
    /// The session; `None`: all that began before that time.
    pub session: Option<SessionId>,
    /// But not this one.
    pub kept: Option<SessionId>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl Store {
    /// A player's sessions that have not expired, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions(&self, player: PlayerId, now_ms: u64) -> Result<Vec<ListedSession>, StoreError> {
        let sql = "SELECT session_id, method, created_at_ms, rotated_at_ms, expires_at_ms FROM sessions
                   WHERE player_id = $1 AND expires_at_ms > $2 ORDER BY created_at_ms DESC, session_id DESC LIMIT $3";
        let rows = self.db.all(Domain::Identity, sql, args![player, now_ms, LISTED_MAX]).await?;
        let listed = |(session, method, created_at_ms, refreshed_at_ms, expires_at_ms)| ListedSession {
            session,
            method,
            created_at_ms,
            refreshed_at_ms,
            expires_at_ms,
        };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Ends one session of a player, and its access tokens. Says whether there was one; ending it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_session(&self, player: PlayerId, session: SessionId, now_ms: u64) -> Result<bool, StoreError> {
        self.db
            .write(Domain::Identity, (player, session, now_ms), |tx, (player, session, now_ms)| {
                Box::pin(end_session(tx, *player, *session, *now_ms))
            })
            .await
    }

    /// Ends all sessions of a player but `kept`, and their access tokens; how many that were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_sessions(
        &self,
        player: PlayerId,
        kept: Option<SessionId>,
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        self.db
            .write(Domain::Identity, (player, kept, now_ms), |tx, (player, kept, now_ms)| {
                Box::pin(end_sessions(tx, *player, *kept, *now_ms))
            })
            .await
    }

    /// Keeps an account from logging in until then, and ends its sessions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bar_account(&self, player: PlayerId, until_ms: u64, now_ms: u64) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (player, until_ms, now_ms), |tx, (player, until_ms, now_ms)| {
                Box::pin(bar_account(tx, *player, *until_ms, *now_ms))
            })
            .await
    }

    /// Lets an account log in again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unbar_account(&self, player: PlayerId) -> Result<(), StoreError> {
        self.db.write(Domain::Identity, player, |tx, player| Box::pin(unbar_account(tx, *player))).await
    }

    /// Revocations since then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revocations(&self, since_ms: u64) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT player_id, session_id, kept, at_ms FROM revocations WHERE at_ms >= $1 ORDER BY at_ms";
        let rows = self.db.all(Domain::Identity, sql, args![since_ms]).await?;
        Ok(rows.into_iter().map(|(player, session, kept, at_ms)| Revocation { player, session, kept, at_ms }).collect())
    }
}

/// Begins a session; the player's oldest above the bound end. Unix milliseconds at which it expires.
pub(super) async fn begin_session(tx: &mut Tx, player: PlayerId, new: &NewSession) -> Result<u64, StoreError> {
    let family = Family::new(new.token, new.now_ms);
    let strong_at_ms = new.strong_by.map(|_| new.now_ms);
    tx.execute(
        "INSERT INTO sessions (session_id, player_id, current_hash, rotated_at_ms, created_at_ms, expires_at_ms,
                               method, strong_at_ms, strong_by)
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8) ON CONFLICT (session_id) DO NOTHING",
        args![
            new.session,
            player,
            family.current,
            new.now_ms,
            family.expires_at_ms,
            new.method,
            strong_at_ms,
            new.strong_by.map(StrongBy::name)
        ],
    )
    .await?;
    // The new session is the newest, also among those of the same millisecond.
    tx.execute(
        "DELETE FROM sessions WHERE player_id = $1 AND session_id <> $2 AND session_id NOT IN
         (SELECT session_id FROM sessions WHERE player_id = $1 AND session_id <> $2
          ORDER BY created_at_ms DESC, session_id DESC LIMIT $3)",
        args![player, new.session, new.sessions_max.max(1) - 1],
    )
    .await?;
    Ok(family.expires_at_ms)
}

/// Until when the account may not log in, if that is after now.
pub(super) async fn barred(tx: &mut Tx, player: PlayerId, now_ms: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT barred_until_ms FROM accounts WHERE player_id = $1 AND barred_until_ms > $2";
    tx.optional(sql, args![player, now_ms]).await
}

/// Ends one session, and revokes its access tokens.
pub(super) async fn end_session(
    tx: &mut Tx,
    player: PlayerId,
    session: SessionId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM sessions WHERE session_id = $1 AND player_id = $2";
    if tx.execute(sql, args![session, player]).await? == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO revocations (player_id, session_id, at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, args![player, session, now_ms]).await?;
    Ok(true)
}

/// Ends a player's sessions, within the transaction that has the reason. Those that are there are revoked by name; the
/// last line is for access tokens of sessions that ended before, without being revoked.
pub(super) async fn end_sessions(
    tx: &mut Tx,
    player: PlayerId,
    kept: Option<SessionId>,
    now_ms: u64,
) -> Result<u64, StoreError> {
    let sql = "INSERT INTO revocations (player_id, session_id, at_ms)
               SELECT player_id, session_id, $3 FROM sessions WHERE player_id = $1 AND session_id IS DISTINCT FROM $2";
    tx.execute(sql, args![player, kept, now_ms]).await?;
    let sql = "INSERT INTO revocations (player_id, kept, at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, args![player, kept, now_ms]).await?;
    let sql = "DELETE FROM sessions WHERE player_id = $1 AND session_id IS DISTINCT FROM $2";
    tx.execute(sql, args![player, kept]).await
}

/// Keeps an account out and ends its sessions, within the transaction of a ban. `until_ms` of `i64::MAX` is for ever.
pub(super) async fn bar_account(tx: &mut Tx, player: PlayerId, until_ms: u64, now_ms: u64) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET barred_until_ms = $2 WHERE player_id = $1";
    tx.execute(sql, args![player, until_ms]).await?;
    end_sessions(tx, player, None, now_ms).await.map(drop)
}

/// Lets an account in again, within the transaction that lifts a ban.
pub(super) async fn unbar_account(tx: &mut Tx, player: PlayerId) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET barred_until_ms = NULL WHERE player_id = $1 AND erased_at_ms IS NULL";
    tx.execute(sql, args![player]).await.map(drop)
}

/// Revocations are worth something for as long as the access tokens that they concern live; they are kept for an hour.
const REVOCATION_LIFE_MS: u64 = 60 * 60 * 1_000;

/// Removes revocations whose access tokens have expired.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM revocations WHERE at_ms < $1";
    tx.execute(sql, args![now_ms.saturating_sub(REVOCATION_LIFE_MS)]).await.map(drop)
}

//! Accounts, sessions and profiles.

use protocol::id::PlayerId;
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{SqliteStore, audit, bytes, int, outbox, player, unsigned};
use crate::core::name::PlayerName;
use crate::core::rating::Rating;
use crate::core::session::{Family, SessionId, TokenHash, Verdict};
use crate::store::{
    DeviceLogin, EVENT_LIFE_MS, LoggedIn, Profile, QueueRating, Renamed, Rotated, Rotation, StoreError,
};

const DEVICE: &str = "device";

pub(super) async fn login_device(store: &SqliteStore, login: DeviceLogin) -> Result<LoggedIn, StoreError> {
    let mut tx = store.write().await?;
    let known: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT player_id FROM identities WHERE provider = ? AND subject = ?")
            .bind(DEVICE)
            .bind(&login.device.0[..])
            .fetch_optional(&mut *tx)
            .await?;
    let created = known.is_none();
    let player_id = match known {
        Some(blob) => player(&blob)?,
        None => create_account(&mut tx, &login).await?,
    };
    let family = Family::new(login.token, login.now_ms);
    sqlx::query(
        "INSERT INTO sessions (session_id, player_id, current_hash, rotated_at_ms, created_at_ms, expires_at_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&login.session.0.as_bytes()[..])
    .bind(&player_id.to_bytes()[..])
    .bind(&family.current.0[..])
    .bind(int(family.rotated_at_ms))
    .bind(int(login.now_ms))
    .bind(int(family.expires_at_ms))
    .execute(&mut *tx)
    .await?;
    // The new session is the newest; rowid orders those of the same millisecond.
    sqlx::query(
        "DELETE FROM sessions WHERE player_id = ?1 AND rowid NOT IN
         (SELECT rowid FROM sessions WHERE player_id = ?1 ORDER BY created_at_ms DESC, rowid DESC LIMIT ?2)",
    )
    .bind(&player_id.to_bytes()[..])
    .bind(i64::from(login.sessions_max.max(1)))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(LoggedIn { player: player_id, created, expires_at_ms: family.expires_at_ms })
}

async fn create_account(tx: &mut Transaction<'static, Sqlite>, login: &DeviceLogin) -> Result<PlayerId, StoreError> {
    let player_id = login.new_player;
    let name = login.name.clone().unwrap_or_else(|| PlayerName::default_for(player_id));
    sqlx::query(
        "INSERT INTO accounts (player_id, name, version, created_at_ms, xp, matches, wins) VALUES (?, ?, 1, ?, 0, 0, 0)",
    )
    .bind(&player_id.to_bytes()[..])
    .bind(name.as_str())
    .bind(int(login.now_ms))
    .execute(&mut **tx)
    .await?;
    sqlx::query("INSERT INTO identities (provider, subject, player_id) VALUES (?, ?, ?)")
        .bind(DEVICE)
        .bind(&login.device.0[..])
        .bind(&player_id.to_bytes()[..])
        .execute(&mut **tx)
        .await?;
    Ok(player_id)
}

/// Player, current hash, previous hash, rotated at, expires at.
type SessionRow = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64, i64);

pub(super) async fn rotate_refresh(store: &SqliteStore, rotation: Rotation) -> Result<Rotated, StoreError> {
    let mut tx = store.write().await?;
    let session = &rotation.session.0.as_bytes()[..];
    let row: Option<SessionRow> = sqlx::query_as(
        "SELECT player_id, current_hash, previous_hash, rotated_at_ms, expires_at_ms FROM sessions WHERE session_id = ?",
    )
    .bind(session)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((owner, current, previous, rotated_at, expires_at)) = row else {
        return Ok(Rotated::Gone);
    };
    let player_id = player(&owner)?;
    let mut family = Family {
        current: TokenHash(bytes(&current)?),
        previous: previous.as_deref().map(bytes).transpose()?.map(TokenHash),
        rotated_at_ms: unsigned(rotated_at),
        expires_at_ms: unsigned(expires_at),
    };
    match family.judge(rotation.presented, rotation.now_ms) {
        Verdict::Rotate => {
            family.rotate(rotation.successor, rotation.now_ms);
            sqlx::query(
                "UPDATE sessions SET current_hash = ?, previous_hash = ?, rotated_at_ms = ? WHERE session_id = ?",
            )
            .bind(&family.current.0[..])
            .bind(family.previous.as_ref().map(|hash| &hash.0[..]))
            .bind(int(family.rotated_at_ms))
            .bind(session)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(Rotated::Successor { player: player_id, expires_at_ms: family.expires_at_ms })
        }
        Verdict::Repeat => Ok(Rotated::Successor { player: player_id, expires_at_ms: family.expires_at_ms }),
        Verdict::Reused => {
            end_session(&mut tx, rotation.session).await?;
            let detail = format!("session {}", rotation.session);
            audit(&mut tx, rotation.now_ms, "refresh_reused", &player_id.to_string(), &detail).await?;
            tx.commit().await?;
            Ok(Rotated::Reused)
        }
        Verdict::Expired => {
            end_session(&mut tx, rotation.session).await?;
            tx.commit().await?;
            Ok(Rotated::Gone)
        }
    }
}

async fn end_session(tx: &mut Transaction<'static, Sqlite>, session: SessionId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE session_id = ?").bind(&session.0.as_bytes()[..]).execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn logout(store: &SqliteStore, session: SessionId) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    end_session(&mut tx, session).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn session_hash(store: &SqliteStore, session: SessionId) -> Result<Option<TokenHash>, StoreError> {
    let hash: Option<Vec<u8>> = sqlx::query_scalar("SELECT current_hash FROM sessions WHERE session_id = ?")
        .bind(&session.0.as_bytes()[..])
        .fetch_optional(&store.readers)
        .await?;
    Ok(hash.as_deref().map(bytes).transpose()?.map(TokenHash))
}

pub(super) async fn prune(store: &SqliteStore, now_ms: u64) -> Result<u64, StoreError> {
    let mut tx = store.write().await?;
    let done = sqlx::query("DELETE FROM sessions WHERE expires_at_ms <= ?").bind(int(now_ms)).execute(&mut *tx).await?;
    outbox::prune(&mut tx, now_ms.saturating_sub(EVENT_LIFE_MS)).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Name, version, created at, XP, matches, wins.
type AccountRow = (String, i64, i64, i64, i64, i64);

pub(super) async fn profile(store: &SqliteStore, player_id: PlayerId) -> Result<Option<Profile>, StoreError> {
    // Two queries, one snapshot: the ETag must not name a version whose ratings are older or newer.
    let mut tx = store.readers.begin().await?;
    let row: Option<AccountRow> =
        sqlx::query_as("SELECT name, version, created_at_ms, xp, matches, wins FROM accounts WHERE player_id = ?")
            .bind(&player_id.to_bytes()[..])
            .fetch_optional(&mut *tx)
            .await?;
    let Some((name, version, created_at, xp, matches, wins)) = row else {
        return Ok(None);
    };
    let ratings: Vec<(String, f64, f64, i64)> =
        sqlx::query_as("SELECT queue, rating, uncertainty, matches FROM ratings WHERE player_id = ? ORDER BY queue")
            .bind(&player_id.to_bytes()[..])
            .fetch_all(&mut *tx)
            .await?;
    let rating = |(queue, rating, uncertainty, matches)| QueueRating {
        queue,
        rating: Rating { rating, uncertainty },
        matches: unsigned(matches),
    };
    Ok(Some(Profile {
        player_id,
        name,
        version: unsigned(version),
        created_at_ms: unsigned(created_at),
        xp: unsigned(xp),
        matches: unsigned(matches),
        wins: unsigned(wins),
        ratings: ratings.into_iter().map(rating).collect(),
    }))
}

pub(super) async fn rename(
    store: &SqliteStore,
    player_id: PlayerId,
    name: PlayerName,
    expected: Option<u64>,
) -> Result<Renamed, StoreError> {
    let mut tx = store.write().await?;
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM accounts WHERE player_id = ?")
        .bind(&player_id.to_bytes()[..])
        .fetch_optional(&mut *tx)
        .await?;
    let Some(version) = version.map(unsigned) else {
        return Ok(Renamed::Unknown);
    };
    if expected.is_some_and(|expected| expected != version) {
        return Ok(Renamed::Stale(version));
    }
    sqlx::query("UPDATE accounts SET name = ?, version = version + 1 WHERE player_id = ?")
        .bind(name.as_str())
        .bind(&player_id.to_bytes()[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(profile(store, player_id).await?.map_or(Renamed::Unknown, |profile| Renamed::Done(Box::new(profile))))
}

/// Whether the account exists, for use cases that only need to know that.
pub(super) async fn name_of(readers: &SqlitePool, player_id: PlayerId) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT name FROM accounts WHERE player_id = ?")
        .bind(&player_id.to_bytes()[..])
        .fetch_optional(readers)
        .await?)
}

//! Accounts, sessions and profiles.

use std::collections::HashMap;

use protocol::id::PlayerId;

use super::audit::audit;
use super::events::tell;
use super::sessions::end_session;
use super::{Profile, QueueRating, Renamed, Rotated, Rotation, Store, StoreError};
use crate::args;
use crate::core::event::fact;
use crate::core::name::PlayerName;
use crate::core::progression::Standing;
use crate::core::rating::Rating;
use crate::core::session::{Family, SessionId, TokenHash, Verdict};
use crate::db::{Database, Domain, FromRow, Lanes, List, Row, Tx};

impl Store {
    /// Replaces a refresh token by its successor, or ends its family.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rotate_refresh(&self, rotation: Rotation) -> Result<Rotated, StoreError> {
        self.db.write(Domain::Identity, rotation, |tx, rotation| Box::pin(rotate_refresh(tx, rotation))).await
    }

    /// Ends a session and its access tokens. Ending one that is gone changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn logout(&self, session: SessionId, now_ms: u64) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (session, now_ms), |tx, (session, now_ms)| {
                Box::pin(async move {
                    let sql = "SELECT player_id FROM sessions WHERE session_id = $1";
                    let Some(player) = tx.optional(sql, args![session]).await? else { return Ok(()) };
                    end_session(tx, player, *session, *now_ms).await.map(drop)
                })
            })
            .await
    }

    /// Hash of a session's newest token, for tests and operators.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_hash(&self, session: SessionId) -> Result<Option<TokenHash>, StoreError> {
        let sql = "SELECT current_hash FROM sessions WHERE session_id = $1";
        self.db.optional(Domain::Identity, sql, args![session]).await
    }

    /// A player's profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profile(&self, player: PlayerId) -> Result<Option<Profile>, StoreError> {
        match &self.profiles {
            Some(profiles) => profiles.submit(player).await,
            None => Ok(read_profiles(&self.db, &[player]).await?.pop().flatten()),
        }
    }

    /// Gives a player another name, if the profile still has the version `expected`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rename(
        &self,
        player: PlayerId,
        name: PlayerName,
        expected: Option<u64>,
    ) -> Result<Renamed, StoreError> {
        let input = (player, name, expected);
        self.db
            .write_once(Domain::Players, input, |tx, (player, name, expected)| {
                Box::pin(rename(tx, *player, name, *expected))
            })
            .await
    }
}

/// An account that nobody can log in to yet.
pub(super) async fn insert_account(
    tx: &mut Tx,
    player: PlayerId,
    name: Option<&PlayerName>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let name = name.cloned().unwrap_or_else(|| PlayerName::default_for(player));
    let sql = "INSERT INTO accounts (player_id, name, version, created_at_ms, xp, matches, wins)
               VALUES ($1, $2, 1, $3, 0, 0, 0)";
    tx.execute(sql, args![player, name, now_ms]).await?;
    tell(tx, || vec![fact::account_created(player, now_ms)]).await
}

/// Player, current hash, previous hash, rotated at, expires at, second factor, when it was shown.
type SessionRow = (PlayerId, TokenHash, Option<TokenHash>, u64, u64, Option<String>, Option<u64>);

async fn rotate_refresh(tx: &mut Tx, rotation: &Rotation) -> Result<Rotated, StoreError> {
    let row: Option<SessionRow> = tx
        .optional(
            "SELECT player_id, current_hash, previous_hash, rotated_at_ms, expires_at_ms, strong_by, strong_at_ms
             FROM sessions WHERE session_id = $1",
            args![rotation.session],
        )
        .await?;
    let Some((player, current, previous, rotated_at_ms, expires_at_ms, strong_by, strong_at_ms)) = row else {
        return Ok(Rotated::Gone);
    };
    let strong = strong_by.and_then(|by| by.parse().ok()).zip(strong_at_ms);
    let mut family = Family { current, previous, rotated_at_ms, expires_at_ms };
    match family.judge(rotation.presented, rotation.now_ms) {
        Verdict::Rotate => {
            family.rotate(rotation.successor, rotation.now_ms);
            tx.execute(
                "UPDATE sessions SET current_hash = $1, previous_hash = $2, rotated_at_ms = $3 WHERE session_id = $4",
                args![family.current, family.previous, family.rotated_at_ms, rotation.session],
            )
            .await?;
            Ok(Rotated::Successor { player, expires_at_ms, strong })
        }
        Verdict::Repeat => Ok(Rotated::Successor { player, expires_at_ms, strong }),
        Verdict::Reused => {
            end_session(tx, player, rotation.session, rotation.now_ms).await?;
            let detail = format!("session {}", rotation.session);
            audit(tx, rotation.now_ms, "refresh_reused", &player.to_string(), &detail).await?;
            Ok(Rotated::Reused)
        }
        Verdict::Expired => {
            end_session(tx, player, rotation.session, rotation.now_ms).await?;
            Ok(Rotated::Gone)
        }
    }
}

/// The groups in which profiles are read; nothing where the database is a file, which costs no round trip.
pub(super) type Profiles = Option<Lanes<PlayerId, Option<Profile>>>;

pub(super) fn profiles(db: &Database) -> Profiles {
    db.lanes(Domain::Players, |db, players: Vec<PlayerId>| Box::pin(async move { read_profiles(&db, &players).await }))
}

/// A row per rating, and one without where there is none. One statement is one moment: the ETag must not name a version
/// whose ratings are older or newer.
const PROFILES: &str = "\
    SELECT accounts.player_id, name, version, created_at_ms, xp, accounts.matches, accounts.wins,
           prestige, spent_xp, level, level_max, queue, rating, uncertainty, ratings.matches
    FROM accounts LEFT JOIN ratings ON ratings.player_id = accounts.player_id
    LEFT JOIN progress ON progress.player_id = accounts.player_id
    WHERE accounts.player_id IN blobs($1) AND erased_at_ms IS NULL ORDER BY accounts.player_id, queue";

/// A profile without its ratings, and one of them.
struct ProfileRow(Profile, Option<QueueRating>);

impl FromRow for ProfileRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let xp = row.get(4)?;
        let standing = Standing {
            xp,
            prestige: row.get::<Option<u32>>(7)?.unwrap_or(0),
            spent_xp: row.get::<Option<u64>>(8)?.unwrap_or(0),
            level: row.get::<Option<u32>>(9)?.unwrap_or(0),
            level_max: row.get::<Option<u32>>(10)?.unwrap_or(0),
        };
        let profile = Profile {
            player_id: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            created_at_ms: row.get(3)?,
            xp,
            standing,
            matches: row.get(5)?,
            wins: row.get(6)?,
            ratings: Vec::new(),
        };
        let (queue, rating): (Option<String>, Option<f64>) = (row.get(11)?, row.get(12)?);
        let (uncertainty, matches): (Option<f64>, Option<u64>) = (row.get(13)?, row.get(14)?);
        let rated = match (queue, rating, uncertainty, matches) {
            (Some(queue), Some(rating), Some(uncertainty), Some(matches)) => {
                Some(QueueRating { queue, rating: Rating { rating, uncertainty }, matches })
            }
            _ => None,
        };
        Ok(Self(profile, rated))
    }
}

/// The profile of each player, where there is one.
async fn read_profiles(db: &Database, players: &[PlayerId]) -> Result<Vec<Option<Profile>>, StoreError> {
    let found = by_player(db.all(Domain::Players, PROFILES, args![List(players)]).await?);
    Ok(players.iter().map(|player| found.get(player).cloned()).collect())
}

fn by_player(rows: Vec<ProfileRow>) -> HashMap<PlayerId, Profile> {
    let mut found = HashMap::<_, Profile>::new();
    for ProfileRow(profile, rated) in rows {
        found.entry(profile.player_id).or_insert(profile).ratings.extend(rated);
    }
    found
}

async fn rename(
    tx: &mut Tx,
    player: PlayerId,
    name: &PlayerName,
    expected: Option<u64>,
) -> Result<Renamed, StoreError> {
    let version = tx.optional("SELECT version FROM accounts WHERE player_id = $1", args![player]).await?;
    let Some(version) = version else {
        return Ok(Renamed::Unknown);
    };
    if expected.is_some_and(|expected| expected != version) {
        return Ok(Renamed::Stale(version));
    }
    let sql = "UPDATE accounts SET name = $1, version = version + 1 WHERE player_id = $2";
    tx.execute(sql, args![name, player]).await?;
    let profile = by_player(tx.all(PROFILES, args![List(&[player])]).await?).remove(&player);
    Ok(profile.map_or(Renamed::Unknown, |profile| Renamed::Done(Box::new(profile))))
}

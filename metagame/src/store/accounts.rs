//! Accounts, sessions and profiles.

use protocol::id::PlayerId;

use super::audit::audit;
use super::sessions::{NewSession, barred, begin_session, end_session};
use super::{DeviceLogin, LoggedIn, Profile, QueueRating, Renamed, Rotated, Rotation, Store, StoreError};
use crate::args;
use crate::core::name::PlayerName;
use crate::core::progression::Standing;
use crate::core::rating::Rating;
use crate::core::session::{Family, SessionId, TokenHash, Verdict};
use crate::db::{Domain, Engine, FromRow, Row, Tx};

const DEVICE: &str = "device";

/// The login of a device that has an account, in one round trip. PostgreSQL alone takes writes within `WITH`.
const LOGIN_KNOWN: &str = "\
    WITH known AS (
        SELECT identities.player_id, CASE WHEN barred_until_ms > $5 THEN barred_until_ms END AS barred FROM identities
        JOIN accounts ON accounts.player_id = identities.player_id WHERE provider = $1 AND subject = $2),
    started AS (
        INSERT INTO sessions (session_id, player_id, current_hash, rotated_at_ms, created_at_ms, expires_at_ms)
        SELECT $3, player_id, $4, $5, $5, $6 FROM known WHERE barred IS NULL ON CONFLICT (session_id) DO NOTHING),
    ended AS (
        DELETE FROM sessions WHERE session_id IN (
            SELECT session_id FROM sessions WHERE player_id = (SELECT player_id FROM known) AND session_id <> $3
            ORDER BY created_at_ms DESC, session_id DESC OFFSET $7))
    SELECT player_id, barred FROM known";

impl Store {
    /// Finds or makes the account of a device and starts a session; the player's oldest sessions above the bound end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_device(&self, login: DeviceLogin) -> Result<LoggedIn, StoreError> {
        if self.db.engine() == Engine::Postgres
            && let Some(logged_in) = self.login_known(&login).await?
        {
            return Ok(logged_in);
        }
        self.db.write(Domain::Identity, login, |tx, login| Box::pin(login_device(tx, login))).await
    }

    async fn login_known(&self, login: &DeviceLogin) -> Result<Option<LoggedIn>, StoreError> {
        let family = Family::new(login.token, login.now_ms);
        let others_max = u64::from(login.sessions_max.max(1) - 1);
        let (now_ms, expires_at_ms) = (login.now_ms, family.expires_at_ms);
        let args = args![DEVICE, login.device, login.session, family.current, now_ms, expires_at_ms, others_max];
        let rows: Vec<(PlayerId, Option<u64>)> =
            self.db.statement_returning(Domain::Identity, LOGIN_KNOWN, args).await?;
        let known = |(player, barred_until_ms)| LoggedIn { player, created: false, expires_at_ms, barred_until_ms };
        Ok(rows.into_iter().next().map(known))
    }

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
        let rows = self.db.all(Domain::Players, PROFILE, args![player]).await?;
        Ok(read_profile(player, rows))
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

async fn login_device(tx: &mut Tx, login: &DeviceLogin) -> Result<LoggedIn, StoreError> {
    let sql = "SELECT player_id FROM identities WHERE provider = $1 AND subject = $2";
    let player = match tx.optional(sql, args![DEVICE, login.device]).await? {
        Some(player) => player,
        None => create_account(tx, login).await?,
    };
    if let Some(until_ms) = barred(tx, player, login.now_ms).await? {
        return Ok(LoggedIn { player, created: false, expires_at_ms: 0, barred_until_ms: Some(until_ms) });
    }
    let session = NewSession {
        session: login.session,
        token: login.token,
        method: DEVICE,
        strong_by: None,
        sessions_max: login.sessions_max,
        now_ms: login.now_ms,
    };
    let expires_at_ms = begin_session(tx, player, &session).await?;
    // Its id tells: true as well when this runs again because nobody knew whether it was committed.
    let created = player == login.new_player;
    Ok(LoggedIn { player, created, expires_at_ms, barred_until_ms: None })
}

async fn create_account(tx: &mut Tx, login: &DeviceLogin) -> Result<PlayerId, StoreError> {
    let player = login.new_player;
    insert_account(tx, player, login.name.as_ref(), login.now_ms).await?;
    let sql = "INSERT INTO identities (provider, subject, player_id, linked_at_ms) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![DEVICE, login.device, player, login.now_ms]).await?;
    Ok(player)
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
    tx.execute(sql, args![player, name, now_ms]).await.map(drop)
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

/// A row per rating, and one without where there is none. One statement is one moment: the ETag must not name a version
/// whose ratings are older or newer.
const PROFILE: &str = "\
    SELECT name, version, created_at_ms, xp, accounts.matches, accounts.wins, prestige, spent_xp, level, level_max,
           queue, rating, uncertainty, ratings.matches
    FROM accounts LEFT JOIN ratings ON ratings.player_id = accounts.player_id
    LEFT JOIN progress ON progress.player_id = accounts.player_id
    WHERE accounts.player_id = $1 AND erased_at_ms IS NULL ORDER BY queue";

/// A profile without its ratings, whose player the caller knows, and one of them.
struct ProfileRow(Profile, Option<QueueRating>);

impl FromRow for ProfileRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let xp = row.get(3)?;
        let standing = Standing {
            xp,
            prestige: row.get::<Option<u32>>(6)?.unwrap_or(0),
            spent_xp: row.get::<Option<u64>>(7)?.unwrap_or(0),
            level: row.get::<Option<u32>>(8)?.unwrap_or(0),
            level_max: row.get::<Option<u32>>(9)?.unwrap_or(0),
        };
        let profile = Profile {
            player_id: PlayerId::from_bytes([0; 16]),
            name: row.get(0)?,
            version: row.get(1)?,
            created_at_ms: row.get(2)?,
            xp,
            standing,
            matches: row.get(4)?,
            wins: row.get(5)?,
            ratings: Vec::new(),
        };
        let (queue, rating): (Option<String>, Option<f64>) = (row.get(10)?, row.get(11)?);
        let (uncertainty, matches): (Option<f64>, Option<u64>) = (row.get(12)?, row.get(13)?);
        let rated = match (queue, rating, uncertainty, matches) {
            (Some(queue), Some(rating), Some(uncertainty), Some(matches)) => {
                Some(QueueRating { queue, rating: Rating { rating, uncertainty }, matches })
            }
            _ => None,
        };
        Ok(Self(profile, rated))
    }
}

fn read_profile(player_id: PlayerId, rows: Vec<ProfileRow>) -> Option<Profile> {
    let mut whole: Option<Profile> = None;
    for ProfileRow(profile, rated) in rows {
        whole.get_or_insert(Profile { player_id, ..profile }).ratings.extend(rated);
    }
    whole
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
    let rows = tx.all(PROFILE, args![player]).await?;
    Ok(read_profile(player, rows).map_or(Renamed::Unknown, |profile| Renamed::Done(Box::new(profile))))
}

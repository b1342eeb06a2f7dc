//! Logins by device: the call that comes most often, when a game opens and when a server of it comes back.
//!
//! On PostgreSQL they are done in groups, each with one statement that finds or makes accounts and begins sessions; on SQLite
//! the writer groups by itself.

use std::sync::atomic::Ordering;

use protocol::id::PlayerId;

use super::accounts::insert_account;
use super::events::ALL;
use super::sessions::{NewSession, barred, begin_session};
use super::{DeviceLogin, LoggedIn, Store, StoreError};
use crate::args;
use crate::core::event::{EventType, NewEvent, fact};
use crate::core::name::PlayerName;
use crate::core::session::Family;
use crate::db::{Database, Domain, Lanes, List, ToValue, Tx, Value};

const DEVICE: &str = "device";

/// Logins of devices, with an account for each that has none. PostgreSQL alone takes writes within `WITH`; they see the moment
/// before the statement. New rows come in the order of devices, and no session that somebody else ends is waited for: two
/// groups at once never wait for each other.
/// No row for a login: another one of the same new device was faster by less than this statement could see.
const LOGINS: &str = "\
    WITH login AS (
        SELECT * FROM ROWS(n int $1, device blob $2, session blob $3, token blob $4, at_ms int $5, expires_at_ms int $6,
                           new_player blob $7, name text $8, event_id text $11, subject text $12, data text $13)),
    known AS (
        SELECT n, identities.player_id, CASE WHEN barred_until_ms > at_ms THEN barred_until_ms END AS barred FROM login
        JOIN identities ON provider = $9 AND identities.subject = device
        JOIN accounts ON accounts.player_id = identities.player_id),
    linked AS (
        INSERT INTO identities (provider, subject, player_id, linked_at_ms)
        SELECT $9, device, new_player, at_ms FROM login WHERE n NOT IN (SELECT n FROM known) ORDER BY device
        ON CONFLICT (provider, subject) DO NOTHING RETURNING player_id),
    made AS (
        INSERT INTO accounts (player_id, name, version, created_at_ms, xp, matches, wins)
        SELECT new_player, name, 1, at_ms, 0, 0, 0 FROM login WHERE new_player IN (SELECT player_id FROM linked)),
    told AS (
        INSERT INTO events (sink, event_id, type, version, subject, data, at_ms)
        SELECT sink, event_id, $14, $15, subject, data, at_ms FROM login JOIN event_wants ON type IN ($14, $16)
        WHERE event_id <> '' AND new_player IN (SELECT player_id FROM linked) ORDER BY n),
    player AS (
        SELECT n, player_id, barred FROM known
        UNION ALL SELECT n, new_player, NULL FROM login WHERE new_player IN (SELECT player_id FROM linked)),
    started AS (
        INSERT INTO sessions (session_id, player_id, current_hash, rotated_at_ms, created_at_ms, expires_at_ms)
        SELECT session, player_id, token, at_ms, at_ms, expires_at_ms FROM player JOIN login USING (n) WHERE barred IS NULL
        ON CONFLICT (session_id) DO NOTHING),
    crowded AS (
        SELECT old.session_id FROM (SELECT player_id, count(*) AS new FROM known GROUP BY player_id) AS comer
        CROSS JOIN LATERAL (
            SELECT session_id FROM sessions WHERE player_id = comer.player_id AND session_id NOT IN (SELECT session FROM login)
            ORDER BY created_at_ms DESC, session_id DESC OFFSET greatest($10 - comer.new, 0)) AS old),
    ended AS (
        DELETE FROM sessions WHERE session_id IN (
            SELECT session_id FROM sessions WHERE session_id IN (SELECT session_id FROM crowded) FOR UPDATE SKIP LOCKED))
    SELECT n, player_id, barred FROM player";

/// The groups of logins; nothing where the database groups by itself.
pub(super) type Logins = Option<Lanes<DeviceLogin, Option<LoggedIn>>>;

pub(super) fn logins(db: &Database) -> Logins {
    db.lanes(Domain::Identity, |db, logins: Vec<DeviceLogin>| {
        Box::pin(async move { login_devices(&db, &logins).await })
    })
}

impl Store {
    /// Finds or makes the account of a device and starts a session; the player's oldest sessions above the bound end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_device(&self, login: DeviceLogin) -> Result<LoggedIn, StoreError> {
        if let Some(logins) = &self.logins
            && let Some(logged_in) = logins.submit(login.clone()).await?
        {
            return Ok(logged_in);
        }
        self.db.write(Domain::Identity, login, |tx, login| Box::pin(login_device(tx, login))).await
    }
}

/// A column of `ROWS`.
fn column<T: ToValue>(values: impl Iterator<Item = T>) -> Value {
    List(&values.collect::<Vec<_>>()).to_value()
}

async fn login_devices(db: &Database, logins: &[DeviceLogin]) -> Result<Vec<Option<LoggedIn>>, StoreError> {
    let Some(sessions_max) = logins.iter().map(|login| login.sessions_max.max(1)).min() else { return Ok(Vec::new()) };
    let families: Vec<_> = logins.iter().map(|login| Family::new(login.token, login.now_ms)).collect();
    let name = |login: &DeviceLogin| login.name.clone().unwrap_or_else(|| PlayerName::default_for(login.new_player));
    // Nobody listens: then no event has an id, and none is written.
    let has_listeners = db.listeners().load(Ordering::Relaxed);
    let event = |login: &DeviceLogin| {
        let created = fact::account_created(login.new_player, login.now_ms);
        if has_listeners { created } else { NewEvent { id: String::new(), ..created } }
    };
    let events: Vec<_> = logins.iter().map(event).collect();
    let args = vec![
        column(0..logins.len() as u64),
        column(logins.iter().map(|login| login.device)),
        column(logins.iter().map(|login| login.session)),
        column(families.iter().map(|family| family.current)),
        column(logins.iter().map(|login| login.now_ms)),
        column(families.iter().map(|family| family.expires_at_ms)),
        column(logins.iter().map(|login| login.new_player)),
        column(logins.iter().map(name)),
        DEVICE.to_value(),
        sessions_max.to_value(),
        column(events.iter().map(|event| event.id.as_str())),
        column(events.iter().map(|event| event.subject.as_str())),
        column(events.iter().map(|event| event.data.as_str())),
        EventType::AccountCreated.name().to_value(),
        EventType::AccountCreated.version().to_value(),
        ALL.to_value(),
    ];
    let rows: Vec<(u64, PlayerId, Option<u64>)> = db.statement_returning(Domain::Identity, LOGINS, args).await?;
    let mut outcomes = vec![None; logins.len()];
    for (n, player, barred_until_ms) in rows {
        let n = n as usize;
        let (Some(outcome), Some(login), Some(family)) = (outcomes.get_mut(n), logins.get(n), families.get(n)) else {
            return Err(StoreError::Unreadable("a login that nobody asked for".into()));
        };
        let expires_at_ms = family.expires_at_ms;
        // Its id tells: true as well when this runs again because nobody knew whether it was committed.
        let created = player == login.new_player;
        *outcome = Some(LoggedIn { player, created, expires_at_ms, barred_until_ms });
    }
    Ok(outcomes)
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

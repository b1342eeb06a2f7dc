//! Bans and mutes: imposed, appealed against, upheld, lifted; each word of an operator is in the log of acts.

use protocol::id::PlayerId;
use serde_json::json;
use uuid::Uuid;

use super::acts::{Order, note};
use super::events::tell;
use super::sessions::{bar_account, end_sessions, unbar_account};
use super::{Store, StoreError};
use crate::args;
use crate::core::event::fact;
use crate::core::sanction::{SanctionKind, Term, ends_at_ms};
use crate::db::{Domain, FromRow, Row, Tx};

/// Most rows of a list.
const LISTED_MAX: u32 = 200;

/// A ban or a mute to impose.
#[derive(Debug, Clone)]
pub struct NewSanction {
    /// Random.
    pub sanction_id: Uuid,
    /// On whom.
    pub player: PlayerId,
    /// What.
    pub kind: SanctionKind,
    /// Unix milliseconds; `None`: for ever.
    pub until_ms: Option<u64>,
}

/// A ban or a mute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanction {
    /// Which.
    pub sanction_id: Uuid,
    /// On whom.
    pub player: PlayerId,
    /// What.
    pub kind: SanctionKind,
    /// Why, as a code.
    pub reason: String,
    /// Words of the operator, sealed under the account's key.
    pub note: Option<Vec<u8>>,
    /// By whom.
    pub imposed_by: String,
    /// Unix milliseconds.
    pub imposed_at_ms: u64,
    /// Until when, and whether it was lifted.
    pub term: Term,
    /// By whom it was lifted.
    pub lifted_by: Option<String>,
    /// Why, as a code.
    pub lift_reason: Option<String>,
    /// Words of the player, sealed under the account's key.
    pub appeal: Option<Vec<u8>>,
    /// Unix milliseconds.
    pub appealed_at_ms: Option<u64>,
    /// By whom it was upheld after an appeal.
    pub upheld_by: Option<String>,
}

/// What became of a word about a sanction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sanctioned {
    /// It is done.
    Done(PlayerId),
    /// It was so already, or it is over.
    Over,
    /// There is no such sanction, or no such player.
    Unknown,
}

const ONE: &str = "\
    SELECT sanction_id, player_id, kind, reason, note, imposed_by, imposed_at_ms, until_ms, lifted_at_ms, lifted_by,
           lift_reason, appeal, appealed_at_ms, upheld_by FROM sanctions WHERE sanction_id = $1";
const OF_PLAYER: &str = "\
    SELECT sanction_id, player_id, kind, reason, note, imposed_by, imposed_at_ms, until_ms, lifted_at_ms, lifted_by,
           lift_reason, appeal, appealed_at_ms, upheld_by FROM sanctions WHERE player_id = $1
    ORDER BY imposed_at_ms DESC, sanction_id LIMIT $2";
const APPEALED: &str = "\
    SELECT sanction_id, player_id, kind, reason, note, imposed_by, imposed_at_ms, until_ms, lifted_at_ms, lifted_by,
           lift_reason, appeal, appealed_at_ms, upheld_by FROM sanctions
    WHERE appealed_at_ms IS NOT NULL AND upheld_at_ms IS NULL AND lifted_at_ms IS NULL
          AND (until_ms IS NULL OR until_ms > $1) ORDER BY appealed_at_ms, sanction_id LIMIT $2";

/// Its columns are those of `ONE`.
impl FromRow for Sanction {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let kind: String = row.get(2)?;
        Ok(Self {
            sanction_id: Uuid::from_bytes(row.get(0)?),
            player: row.get(1)?,
            kind: kind.parse().map_err(|_| StoreError::Unreadable(format!("a sanction of kind {kind}")))?,
            reason: row.get(3)?,
            note: row.get(4)?,
            imposed_by: row.get(5)?,
            imposed_at_ms: row.get(6)?,
            term: Term { until_ms: row.get(7)?, lifted_at_ms: row.get(8)? },
            lifted_by: row.get(9)?,
            lift_reason: row.get(10)?,
            appeal: row.get(11)?,
            appealed_at_ms: row.get(12)?,
            upheld_by: row.get(13)?,
        })
    }
}

impl Store {
    /// Imposes a ban or a mute. A ban ends all sessions in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn impose(&self, new: NewSanction, order: Order) -> Result<Sanctioned, StoreError> {
        self.db.write(Domain::Identity, (new, order), |tx, (new, order)| Box::pin(impose(tx, new, order))).await
    }

    /// Lifts a sanction before its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lift(&self, sanction: Uuid, order: Order) -> Result<Sanctioned, StoreError> {
        self.db.write(Domain::Identity, (sanction, order), |tx, (id, order)| Box::pin(lift(tx, *id, order))).await
    }

    /// Ends all sessions of a player, as an operator orders.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_end_of_sessions(&self, player: PlayerId, order: Order) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (player, order), |tx, (player, order)| {
                Box::pin(async move {
                    let ended = end_sessions(tx, *player, None, order.at_ms).await?;
                    let detail = json!({ "sessions": ended }).to_string();
                    note(tx, order, "end-sessions", &subject(*player), &detail).await
                })
            })
            .await
    }

    /// Leaves a sanction as it is after its player's appeal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn uphold(&self, sanction: Uuid, order: Order) -> Result<Sanctioned, StoreError> {
        self.db.write(Domain::Identity, (sanction, order), |tx, (id, order)| Box::pin(uphold(tx, *id, order))).await
    }

    /// Keeps what its player says against a sanction, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn appeal(&self, sanction: Uuid, sealed: Vec<u8>, now_ms: u64) -> Result<bool, StoreError> {
        let sql = "UPDATE sanctions SET appeal = $2, appealed_at_ms = $3
                   WHERE sanction_id = $1 AND appealed_at_ms IS NULL AND lifted_at_ms IS NULL";
        let args = args![*sanction.as_bytes(), sealed, now_ms];
        Ok(self.db.statement(Domain::Identity, sql, args).await? == 1)
    }

    /// One sanction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sanction(&self, sanction: Uuid) -> Result<Option<Sanction>, StoreError> {
        self.db.optional(Domain::Identity, ONE, args![*sanction.as_bytes()]).await
    }

    /// A player's sanctions, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sanctions_of(&self, player: PlayerId) -> Result<Vec<Sanction>, StoreError> {
        self.db.all(Domain::Identity, OF_PLAYER, args![player, LISTED_MAX]).await
    }

    /// Sanctions that hold and whose appeal nobody has answered, the oldest appeal first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_appeals(&self, now_ms: u64) -> Result<Vec<Sanction>, StoreError> {
        self.db.all(Domain::Identity, APPEALED, args![now_ms, LISTED_MAX]).await
    }

    /// The ban that keeps a player out for the longest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ban_of(&self, player: PlayerId, now_ms: u64) -> Result<Option<Sanction>, StoreError> {
        let all = self.sanctions_of(player).await?;
        let holds = all.into_iter().filter(|one| one.kind == SanctionKind::Ban && one.term.holds(now_ms));
        Ok(holds.max_by_key(|one| one.term.until_ms.unwrap_or(u64::MAX)))
    }
}

/// Until when a player may say nothing; `None`: it may.
pub(in crate::store) async fn muted(tx: &mut Tx, player: PlayerId, now_ms: u64) -> Result<Option<u64>, StoreError> {
    Ok(ends_at_ms(terms(tx, player, SanctionKind::Mute).await?, now_ms))
}

async fn terms(tx: &mut Tx, player: PlayerId, kind: SanctionKind) -> Result<Vec<Term>, StoreError> {
    let sql = "SELECT until_ms, lifted_at_ms FROM sanctions WHERE player_id = $1 AND kind = $2";
    let rows: Vec<(Option<u64>, Option<u64>)> = tx.all(sql, args![player, kind.name()]).await?;
    Ok(rows.into_iter().map(|(until_ms, lifted_at_ms)| Term { until_ms, lifted_at_ms }).collect())
}

async fn impose(tx: &mut Tx, new: &NewSanction, order: &Order) -> Result<Sanctioned, StoreError> {
    let id = *new.sanction_id.as_bytes();
    let sql = "SELECT player_id FROM accounts WHERE player_id = $1 AND erased_at_ms IS NULL";
    if tx.optional::<PlayerId>(sql, args![new.player]).await?.is_none() {
        return Ok(Sanctioned::Unknown);
    }
    let sql = "INSERT INTO sanctions (sanction_id, player_id, kind, reason, note, imposed_by, imposed_at_ms, until_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (sanction_id) DO NOTHING";
    let args = args![id, new.player, new.kind.name(), order.reason, order.note, order.actor, order.at_ms, new.until_ms];
    if tx.execute(sql, args).await? == 1 {
        let (id, reason, at_ms) = (new.sanction_id, &order.reason, order.at_ms);
        tell(tx, || vec![fact::sanction_imposed(new.player, id, new.kind, reason, new.until_ms, at_ms)]).await?;
    }
    hold(tx, new.player, new.kind, order.at_ms).await?;
    let detail = json!({ "sanction_id": new.sanction_id, "until_ms": new.until_ms }).to_string();
    note(tx, order, new.kind.name(), &subject(new.player), &detail).await?;
    Ok(Sanctioned::Done(new.player))
}

async fn lift(tx: &mut Tx, id: Uuid, order: &Order) -> Result<Sanctioned, StoreError> {
    let Some(one) = tx.optional::<Sanction>(ONE, args![*id.as_bytes()]).await? else { return Ok(Sanctioned::Unknown) };
    if !one.term.holds(order.at_ms) {
        return Ok(Sanctioned::Over);
    }
    let sql = "UPDATE sanctions SET lifted_by = $2, lifted_at_ms = $3, lift_reason = $4 WHERE sanction_id = $1";
    tx.execute(sql, args![*id.as_bytes(), order.actor, order.at_ms, order.reason]).await?;
    tell(tx, || vec![fact::sanction_lifted(one.player, id, one.kind, &order.reason, order.at_ms)]).await?;
    hold(tx, one.player, one.kind, order.at_ms).await?;
    let act = if one.kind == SanctionKind::Ban { "lift-ban" } else { "lift-mute" };
    note(tx, order, act, &subject(one.player), &json!({ "sanction_id": id }).to_string()).await?;
    Ok(Sanctioned::Done(one.player))
}

async fn uphold(tx: &mut Tx, id: Uuid, order: &Order) -> Result<Sanctioned, StoreError> {
    let Some(one) = tx.optional::<Sanction>(ONE, args![*id.as_bytes()]).await? else { return Ok(Sanctioned::Unknown) };
    if one.appealed_at_ms.is_none() || one.upheld_by.is_some() || one.term.lifted_at_ms.is_some() {
        return Ok(Sanctioned::Over);
    }
    let sql = "UPDATE sanctions SET upheld_by = $2, upheld_at_ms = $3 WHERE sanction_id = $1";
    tx.execute(sql, args![*id.as_bytes(), order.actor, order.at_ms]).await?;
    note(tx, order, "uphold", &subject(one.player), &json!({ "sanction_id": id }).to_string()).await?;
    Ok(Sanctioned::Done(one.player))
}

/// Makes the account what its sanctions say. Mutes are read where something is said.
async fn hold(tx: &mut Tx, player: PlayerId, kind: SanctionKind, now_ms: u64) -> Result<(), StoreError> {
    if kind == SanctionKind::Mute {
        return Ok(());
    }
    match ends_at_ms(terms(tx, player, kind).await?, now_ms) {
        Some(until_ms) => bar_account(tx, player, until_ms, now_ms).await,
        None => unbar_account(tx, player).await,
    }
}

/// How the log of acts names a player.
pub(crate) fn subject(player: PlayerId) -> String {
    format!("player:{player}")
}

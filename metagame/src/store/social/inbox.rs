//! What players must hear, whether they are connected or not: numbered per player, kept until acknowledged.
//!
//! A message is written in the transaction of the fact that it tells (`put`), so neither is without the other. It lives
//! until [`INBOX_LIFE_MS`]; one that was acknowledged stays for [`ACKED_LIFE_MS`], so that a fact that is told again by a
//! repetition is not a second message.

use protocol::id::PlayerId;

use crate::args;
use crate::db::{Domain, FromRow, List, Row, Tx};
use crate::store::{Store, StoreError};

/// How long a message waits for its player: 30 days.
pub const INBOX_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a message stays known after it was written, once it is acknowledged: a day.
pub const ACKED_LIFE_MS: u64 = 24 * 60 * 60 * 1_000;

/// A message in a player's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// Its number, ascending per player from 1.
    pub seq: u64,
    /// What it tells.
    pub kind: String,
    /// JSON.
    pub body: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl FromRow for InboxMessage {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { seq: row.get(0)?, kind: row.get(1)?, body: row.get(2)?, at_ms: row.get(3)? })
    }
}

/// A message to be written.
#[derive(Debug, Clone)]
pub(in crate::store) struct NewMessage<'a> {
    /// Names the fact.
    pub(in crate::store) key: String,
    pub(in crate::store) kind: &'a str,
    /// The player that caused it.
    pub(in crate::store) sender: Option<PlayerId>,
    pub(in crate::store) body: serde_json::Value,
    pub(in crate::store) at_ms: u64,
}

/// Writes a message, unless it was written before, within the transaction of the fact that it tells.
pub(in crate::store) async fn put(tx: &mut Tx, player: PlayerId, new: &NewMessage<'_>) -> Result<(), StoreError> {
    put_all(tx, &[player], new).await
}

/// Writes the same message to several players. Players without an account get none.
pub(in crate::store) async fn put_all(
    tx: &mut Tx,
    players: &[PlayerId],
    new: &NewMessage<'_>,
) -> Result<(), StoreError> {
    let known = "SELECT player_id FROM inbox WHERE player_id IN blobs($1) AND key = $2";
    let known: Vec<PlayerId> = tx.all(known, args![List(players), new.key]).await?;
    let players: Vec<_> = players.iter().filter(|player| !known.contains(player)).copied().collect();
    if players.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO inbox_heads (player_id, last_seq, acked_seq)
         SELECT player_id, 1, 0 FROM accounts WHERE player_id IN blobs($1) AND erased_at_ms IS NULL
         ON CONFLICT (player_id) DO UPDATE SET last_seq = inbox_heads.last_seq + 1",
        args![List(&players)],
    )
    .await?;
    tx.execute(
        "INSERT INTO inbox (player_id, seq, key, kind, sender_id, body, at_ms)
         SELECT player_id, last_seq, $2, $3, $4, $5, $6 FROM inbox_heads WHERE player_id IN blobs($1)",
        args![List(&players), new.key, new.kind, new.sender, new.body.to_string(), new.at_ms],
    )
    .await
    .map(drop)
}

/// Takes away what a player was told of another: its requests, or all where `everything` is set.
pub(super) async fn forget(
    tx: &mut Tx,
    player: PlayerId,
    sender: PlayerId,
    everything: bool,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM inbox WHERE player_id = $1 AND sender_id = $2 AND (kind = 'friend_request' OR $3 = 1)";
    tx.execute(sql, args![player, sender, everything]).await.map(drop)
}

/// Removes what has waited long enough.
pub(in crate::store) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM inbox WHERE at_ms < $1 OR (at_ms < $2 AND seq <= (
               SELECT acked_seq FROM inbox_heads WHERE inbox_heads.player_id = inbox.player_id))";
    let args = args![now_ms.saturating_sub(INBOX_LIFE_MS), now_ms.saturating_sub(ACKED_LIFE_MS)];
    tx.execute(sql, args).await.map(drop)
}

impl Store {
    /// A player's messages after `after`, and after those that it acknowledged; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox(&self, player: PlayerId, after: u64, limit: u32) -> Result<Vec<InboxMessage>, StoreError> {
        let sql = "SELECT seq, kind, body, at_ms FROM inbox WHERE player_id = $1 AND seq > $2
                   AND seq > (SELECT acked_seq FROM inbox_heads WHERE player_id = $1) ORDER BY seq LIMIT $3";
        self.db.all(Domain::Social, sql, args![player, after, limit]).await
    }

    /// Acknowledges a player's messages up to `seq`; what was not written yet cannot be acknowledged. Returns how far the
    /// inbox is acknowledged now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ack_inbox(&self, player: PlayerId, seq: u64) -> Result<u64, StoreError> {
        let sql = "UPDATE inbox_heads SET acked_seq = CASE WHEN $2 > last_seq THEN last_seq ELSE $2 END
                   WHERE player_id = $1 AND acked_seq < $2";
        self.db.statement(Domain::Social, sql, args![player, seq]).await?;
        let sql = "SELECT acked_seq FROM inbox_heads WHERE player_id = $1";
        Ok(self.db.optional(Domain::Social, sql, args![player]).await?.unwrap_or(0))
    }

    /// How far the inboxes of these players are written, for those who have one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_heads(&self, players: &[PlayerId]) -> Result<Vec<(PlayerId, u64)>, StoreError> {
        let sql = "SELECT player_id, last_seq FROM inbox_heads WHERE player_id IN blobs($1)";
        self.db.all(Domain::Social, sql, args![List(players)]).await
    }
}

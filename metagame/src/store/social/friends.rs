//! Friends, requests and blocks.

use protocol::id::PlayerId;
use serde_json::json;

use super::inbox::{self, NewMessage};
use super::parties;
use crate::args;
use crate::core::social::tie::{Act, Between, Notice, Refusal, Room, Tie, act};
use crate::db::{Domain, FromRow, List, Row, Tx};
use crate::store::{Store, StoreError};

/// What a player does about another.
#[derive(Debug, Clone, Copy)]
pub struct FriendAct {
    /// Who acts.
    pub player: PlayerId,
    /// About whom.
    pub other: PlayerId,
    /// What.
    pub act: Act,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// Somebody in a list of friends, requests or blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// The other player.
    pub player_id: PlayerId,
    /// Its name.
    pub name: String,
    /// What it is to the list's owner.
    pub tie: Tie,
    /// Unix milliseconds since when.
    pub since_ms: u64,
}

impl FromRow for Companion {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let tie: String = row.get(2)?;
        Ok(Self { player_id: row.get(0)?, name: row.get(1)?, tie: read_tie(&tie)?, since_ms: row.get(3)? })
    }
}

impl Store {
    /// Does it, if the rules allow; `None`: there is no such player. The answer is what the other is now to the one
    /// that acted. What the other must hear is in its inbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn act_on_friend(&self, what: FriendAct) -> Result<Option<Result<Option<Tie>, Refusal>>, StoreError> {
        self.db.write(Domain::Social, what, |tx, what| Box::pin(act_on_friend(tx, *what))).await
    }

    /// A page of friends and requests, by player.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn friends(
        &self,
        player: PlayerId,
        after: Option<PlayerId>,
        limit: u32,
    ) -> Result<Vec<Companion>, StoreError> {
        let sql = "SELECT other_id, name, tie, at_ms FROM edges JOIN accounts ON accounts.player_id = other_id
                   WHERE edges.player_id = $1 AND tie <> 'blocked' AND other_id > $2 ORDER BY other_id LIMIT $3";
        self.db.all(Domain::Social, sql, args![player, after.unwrap_or(LOWEST), limit]).await
    }

    /// A page of those whom a player blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blocks(
        &self,
        player: PlayerId,
        after: Option<PlayerId>,
        limit: u32,
    ) -> Result<Vec<Companion>, StoreError> {
        let sql = "SELECT other_id, name, tie, at_ms FROM edges JOIN accounts ON accounts.player_id = other_id
                   WHERE edges.player_id = $1 AND tie = 'blocked' AND other_id > $2 ORDER BY other_id LIMIT $3";
        self.db.all(Domain::Social, sql, args![player, after.unwrap_or(LOWEST), limit]).await
    }

    /// A player's friends, for friends' leaderboards and presence: at most
    /// [`FRIENDS_MAX`](crate::core::social::tie::FRIENDS_MAX).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn friends_of(&self, player: PlayerId) -> Result<Vec<PlayerId>, StoreError> {
        self.db.all(Domain::Social, FRIENDS_OF, args![player]).await
    }

    /// Those of `others` who are hidden from a player: it blocks them, or they block it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hidden_among(&self, player: PlayerId, others: &[PlayerId]) -> Result<Vec<PlayerId>, StoreError> {
        let sql = "SELECT other_id FROM edges WHERE player_id = $1 AND other_id IN blobs($2) AND tie = 'blocked'
                   UNION SELECT player_id FROM edges WHERE other_id = $1 AND player_id IN blobs($2) AND tie = 'blocked'";
        self.db.all(Domain::Social, sql, args![player, List(others)]).await
    }
}

/// Before every id.
const LOWEST: PlayerId = PlayerId(uuid::Uuid::nil());

pub(super) const FRIENDS_OF: &str =
    "SELECT other_id FROM edges WHERE player_id = $1 AND tie = 'friend' ORDER BY other_id";

fn read_tie(name: &str) -> Result<Tie, StoreError> {
    name.parse().map_err(|error| StoreError::Unreadable(format!("{error}")))
}

async fn act_on_friend(tx: &mut Tx, what: FriendAct) -> Result<Option<Result<Option<Tie>, Refusal>>, StoreError> {
    let FriendAct { player, other, now_ms, .. } = what;
    if player == other {
        return Ok(Some(Err(Refusal::Oneself)));
    }
    let name = "SELECT name FROM accounts WHERE player_id = $1 AND erased_at_ms IS NULL";
    let known: Option<String> = tx.optional(name, args![other]).await?;
    let Some(own_name) = tx.optional::<String>(name, args![player]).await?.filter(|_| known.is_some()) else {
        return Ok(None);
    };
    let before = between(tx, player, other).await?;
    let room = room(tx, player, other).await?;
    let (after, notice) = match act(before, what.act, room) {
        Ok(done) => done,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    if after != before {
        set_tie(tx, player, other, after.own, now_ms).await?;
        set_tie(tx, other, player, after.theirs, now_ms).await?;
        // What one of them was told of the other is no longer so.
        inbox::forget(tx, player, other, what.act == Act::Block).await?;
        inbox::forget(tx, other, player, what.act == Act::Block).await?;
        if what.act == Act::Block {
            parties::forget_invites(tx, player, other).await?;
        }
    }
    if let Some(notice) = notice {
        let kind = match notice {
            Notice::Asked => "friend_request",
            Notice::Accepted => "friend_accepted",
        };
        let key = format!("{kind}/{player}/{now_ms}");
        let body = json!({ "player_id": player, "name": own_name });
        inbox::put(tx, other, &NewMessage { key, kind, sender: Some(player), body, at_ms: now_ms }).await?;
    }
    Ok(Some(Ok(after.own)))
}

pub(in crate::store) async fn between(tx: &mut Tx, player: PlayerId, other: PlayerId) -> Result<Between, StoreError> {
    let sql = "SELECT player_id, tie FROM edges
               WHERE (player_id = $1 AND other_id = $2) OR (player_id = $2 AND other_id = $1)";
    let mut between = Between::default();
    for (side, tie) in tx.all::<(PlayerId, String)>(sql, args![player, other]).await? {
        let tie = Some(read_tie(&tie)?);
        if side == player {
            between.own = tie;
        } else {
            between.theirs = tie;
        }
    }
    Ok(between)
}

async fn room(tx: &mut Tx, player: PlayerId, other: PlayerId) -> Result<Room, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM edges WHERE player_id = $1 AND tie IN ('friend', 'sent')),
               (SELECT count(*) FROM edges WHERE player_id = $1 AND tie = 'blocked'),
               (SELECT count(*) FROM edges WHERE player_id = $2 AND tie = 'received')";
    let (own_friends, own_blocked, their_received) = tx.one(sql, args![player, other]).await?;
    Ok(Room { own_friends, own_blocked, their_received })
}

async fn set_tie(
    tx: &mut Tx,
    player: PlayerId,
    other: PlayerId,
    tie: Option<Tie>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some(tie) = tie else {
        let sql = "DELETE FROM edges WHERE player_id = $1 AND other_id = $2";
        return tx.execute(sql, args![player, other]).await.map(drop);
    };
    // Since when something stands is when it became what it is.
    let sql = "INSERT INTO edges (player_id, other_id, tie, at_ms) VALUES ($1, $2, $3, $4)
               ON CONFLICT (player_id, other_id) DO UPDATE SET tie = excluded.tie, at_ms = excluded.at_ms
               WHERE edges.tie <> excluded.tie";
    tx.execute(sql, args![player, other, tie.name(), now_ms]).await.map(drop)
}

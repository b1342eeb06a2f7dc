//! What is said, and who does not want to read whom.

use protocol::id::PlayerId;

use super::friends::between;
use crate::args;
use crate::core::match_state::MatchState;
use crate::core::social::chat::{AFTER_MATCH_MS, Channel, ChatText, HISTORY_LIFE_MS, HISTORY_MAX, MUTES_MAX};
use crate::core::social::tie::Tie;
use crate::db::{Domain, List, Tx};
use crate::store::sanctions::muted;
use crate::store::{Store, StoreError};

/// Something that is said.
#[derive(Debug, Clone)]
pub struct Saying {
    /// Who says it.
    pub sender: PlayerId,
    /// Where.
    pub channel: Channel,
    /// Made by the client: said twice it is one message.
    pub message_id: [u8; 16],
    /// What.
    pub text: ChatText,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Ascending per channel.
    pub seq: u64,
    /// The client's id of it.
    pub message_id: [u8; 16],
    /// Who said it.
    pub sender: PlayerId,
    /// Its name.
    pub sender_name: String,
    /// What.
    pub text: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// What became of something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// As it is kept.
    pub message: ChatMessage,
    /// Who hears it, the sender among them. Empty: it was said before.
    pub audience: Vec<PlayerId>,
}

/// Why it is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChatFault {
    /// The player is not in this party, does not play this match, or is no friend.
    #[error("you cannot talk here: it is not your party, not your match, or not a friend")]
    NotInChannel,
    /// A moderator has muted the player.
    #[error("you are muted and cannot say anything now")]
    Muted {
        /// Until then; Unix milliseconds.
        until_ms: u64,
    },
}

impl Store {
    /// Says something, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn say(&self, saying: Saying) -> Result<Result<Said, ChatFault>, StoreError> {
        self.db.write(Domain::Social, saying, |tx, saying| Box::pin(say(tx, saying))).await
    }

    /// What was said in a channel after `after`, oldest first; at most `limit`. Players that are blocked or muted are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn chat(
        &self,
        player: PlayerId,
        channel: Channel,
        after: u64,
        limit: u32,
        now_ms: u64,
    ) -> Result<Result<Vec<ChatMessage>, ChatFault>, StoreError> {
        let input = (player, channel, after, limit, now_ms);
        self.db
            .read(Domain::Social, input, |tx, (player, channel, after, limit, now_ms)| {
                Box::pin(chat(tx, *player, *channel, *after, *limit, *now_ms))
            })
            .await
    }

    /// Mutes a player: what it says is not shown any more. Returns whether there was room; again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mute(&self, player: PlayerId, other: PlayerId, now_ms: u64) -> Result<bool, StoreError> {
        let sql = "INSERT INTO mutes (player_id, other_id, at_ms) SELECT $1, player_id, $3 FROM accounts
                   WHERE player_id = $2 AND erased_at_ms IS NULL AND (SELECT count(*) FROM mutes WHERE player_id = $1) < $4
                   ON CONFLICT (player_id, other_id) DO NOTHING";
        self.db.statement(Domain::Social, sql, args![player, other, now_ms, MUTES_MAX]).await?;
        let sql = "SELECT count(*) FROM mutes WHERE player_id = $1 AND other_id = $2";
        self.db.one(Domain::Social, sql, args![player, other]).await
    }

    /// Ends a mute; one that is not there changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unmute(&self, player: PlayerId, other: PlayerId) -> Result<(), StoreError> {
        let sql = "DELETE FROM mutes WHERE player_id = $1 AND other_id = $2";
        self.db.statement(Domain::Social, sql, args![player, other]).await.map(drop)
    }

    /// Whom a player mutes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mutes(&self, player: PlayerId) -> Result<Vec<(PlayerId, String)>, StoreError> {
        let sql = "SELECT other_id, name FROM mutes JOIN accounts ON accounts.player_id = other_id
                   WHERE mutes.player_id = $1 ORDER BY other_id";
        self.db.all(Domain::Social, sql, args![player]).await
    }
}

/// Sequence, message, sender, name, text, at.
type MessageRow = (u64, [u8; 16], PlayerId, String, String, u64);

fn message((seq, message_id, sender, sender_name, text, at_ms): MessageRow) -> ChatMessage {
    ChatMessage { seq, message_id, sender, sender_name, text, at_ms }
}

async fn say(tx: &mut Tx, saying: &Saying) -> Result<Result<Said, ChatFault>, StoreError> {
    let Saying { sender, channel, message_id, text, now_ms } = saying;
    let key = channel.key(*sender);
    let members = members(tx, *sender, *channel, *now_ms).await?;
    if !members.contains(sender) {
        return Ok(Err(ChatFault::NotInChannel));
    }
    if let Some(until_ms) = muted(tx, *sender, *now_ms).await? {
        return Ok(Err(ChatFault::Muted { until_ms }));
    }
    let sql = "SELECT seq, message_id, sender_id, name, body, at_ms FROM chat_messages
               JOIN accounts ON accounts.player_id = sender_id WHERE channel = $1 AND message_id = $2";
    if let Some(row) = tx.optional::<MessageRow>(sql, args![key, *message_id]).await? {
        return Ok(Ok(Said { message: message(row), audience: Vec::new() }));
    }
    let sql = "INSERT INTO chat_heads (channel, last_seq) VALUES ($1, 1)
               ON CONFLICT (channel) DO UPDATE SET last_seq = chat_heads.last_seq + 1 RETURNING last_seq";
    let seq: u64 = tx.one(sql, args![key]).await?;
    tx.execute(
        "INSERT INTO chat_messages (channel, seq, message_id, sender_id, body, at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        args![key, seq, *message_id, *sender, text.as_str(), *now_ms],
    )
    .await?;
    let sql = "DELETE FROM chat_messages WHERE channel = $1 AND seq <= $2";
    tx.execute(sql, args![key, seq.saturating_sub(HISTORY_MAX)]).await?;
    let sender_name = tx.one("SELECT name FROM accounts WHERE player_id = $1", args![*sender]).await?;
    let audience = hearers(tx, *sender, members).await?;
    let text = text.as_str().to_owned();
    let message = ChatMessage { seq, message_id: *message_id, sender: *sender, sender_name, text, at_ms: *now_ms };
    Ok(Ok(Said { message, audience }))
}

/// Who is in a channel; without the player itself it may not see it either.
async fn members(tx: &mut Tx, player: PlayerId, channel: Channel, now_ms: u64) -> Result<Vec<PlayerId>, StoreError> {
    match channel {
        Channel::Party(party) => {
            let sql = "SELECT player_id FROM party_members WHERE party_id = $1 ORDER BY place";
            tx.all(sql, args![party]).await
        }
        Channel::Match(match_id) => {
            let sql = "SELECT match_players.player_id FROM match_players
                       JOIN matches ON matches.match_id = match_players.match_id
                       WHERE matches.match_id = $1 AND (state IN ($2, $3) OR ended_at_ms > $4)";
            let (placed, playing) = (MatchState::Placed.name(), MatchState::Playing.name());
            tx.all(sql, args![match_id, placed, playing, now_ms.saturating_sub(AFTER_MATCH_MS)]).await
        }
        Channel::Direct(other) => {
            let is_friend = between(tx, player, other).await?.own == Some(Tie::Friend);
            Ok(if is_friend { vec![player, other] } else { Vec::new() })
        }
    }
}

/// Those of `members` who hear a player: neither blocks the other, and they do not mute it.
async fn hearers(tx: &mut Tx, sender: PlayerId, members: Vec<PlayerId>) -> Result<Vec<PlayerId>, StoreError> {
    let sql = "SELECT other_id FROM edges WHERE player_id = $1 AND other_id IN blobs($2) AND tie = 'blocked'
               UNION SELECT player_id FROM edges WHERE other_id = $1 AND player_id IN blobs($2) AND tie = 'blocked'
               UNION SELECT player_id FROM mutes WHERE other_id = $1 AND player_id IN blobs($2)";
    let deaf: Vec<PlayerId> = tx.all(sql, args![sender, List(&members)]).await?;
    Ok(members.into_iter().filter(|member| !deaf.contains(member)).collect())
}

async fn chat(
    tx: &mut Tx,
    player: PlayerId,
    channel: Channel,
    after: u64,
    limit: u32,
    now_ms: u64,
) -> Result<Result<Vec<ChatMessage>, ChatFault>, StoreError> {
    if !members(tx, player, channel, now_ms).await?.contains(&player) {
        return Ok(Err(ChatFault::NotInChannel));
    }
    let sql = "SELECT seq, message_id, sender_id, name, body, at_ms FROM chat_messages
               JOIN accounts ON accounts.player_id = sender_id
               WHERE channel = $1 AND seq > $2
               AND NOT EXISTS (SELECT 1 FROM edges WHERE tie = 'blocked' AND (
                   (edges.player_id = $3 AND other_id = sender_id) OR (edges.player_id = sender_id AND other_id = $3)))
               AND NOT EXISTS (SELECT 1 FROM mutes WHERE mutes.player_id = $3 AND other_id = sender_id)
               ORDER BY seq LIMIT $4";
    let rows: Vec<MessageRow> = tx.all(sql, args![channel.key(player), after, player, limit]).await?;
    Ok(Ok(rows.into_iter().map(message).collect()))
}

/// Removes what is old.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM chat_messages WHERE at_ms < $1";
    tx.execute(sql, args![now_ms.saturating_sub(HISTORY_LIFE_MS)]).await.map(drop)
}

/// Removes what was said in a channel that is over.
pub(super) async fn forget(tx: &mut Tx, key: &[u8]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM chat_messages WHERE channel = $1", args![*key]).await?;
    tx.execute("DELETE FROM chat_heads WHERE channel = $1", args![*key]).await.map(drop)
}

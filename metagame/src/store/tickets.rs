//! What a ticket asks of its player.

use protocol::id::{MatchId, PlayerId, TicketId};

use super::matches::match_state;
use super::social::parties::current_party;
use super::{Store, StoreError, TicketReadiness};
use crate::args;
use crate::core::match_state::holds_players;
use crate::core::rating::Rating;
use crate::db::{Domain, Tx};

impl Store {
    /// What a ticket needs to know of its player, and whether a match still holds the player.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prepare_ticket(
        &self,
        player: PlayerId,
        queue: String,
        now_ms: u64,
    ) -> Result<TicketReadiness, StoreError> {
        let input = (player, queue, now_ms);
        self.db
            .read(Domain::Matches, input, |tx, (player, queue, now_ms)| {
                Box::pin(prepare_ticket(tx, *player, queue, *now_ms))
            })
            .await
    }

    /// Notes the ticket that a player made last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember_ticket(&self, player: PlayerId, ticket: TicketId) -> Result<(), StoreError> {
        let sql = "INSERT INTO player_tickets (player_id, ticket_id) VALUES ($1, $2)
                   ON CONFLICT (player_id) DO UPDATE SET ticket_id = excluded.ticket_id";
        self.db.statement(Domain::Matches, sql, args![player, ticket]).await.map(drop)
    }

    /// The ticket that a player made last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_ticket(&self, player: PlayerId) -> Result<Option<TicketId>, StoreError> {
        let sql = "SELECT ticket_id FROM player_tickets WHERE player_id = $1";
        self.db.optional(Domain::Matches, sql, args![player]).await
    }
}

async fn prepare_ticket(
    tx: &mut Tx,
    player: PlayerId,
    queue: &str,
    now_ms: u64,
) -> Result<TicketReadiness, StoreError> {
    let row: Option<(String, Option<f64>, Option<f64>)> = tx
        .optional(
            "SELECT name, rating, uncertainty FROM accounts
             LEFT JOIN ratings ON ratings.player_id = accounts.player_id AND queue = $1 WHERE accounts.player_id = $2",
            args![queue, player],
        )
        .await?;
    let Some((name, rating, uncertainty)) = row else {
        return Ok(TicketReadiness::Unknown);
    };
    let held: Vec<(MatchId, String, u64, Option<u64>)> = tx
        .all(
            "SELECT matches.match_id, state, placed_at_ms, ended_at_ms
             FROM match_players JOIN matches ON matches.match_id = match_players.match_id
             WHERE match_players.player_id = $1 AND holds = 1 ORDER BY placed_at_ms DESC",
            args![player],
        )
        .await?;
    for (match_id, state, placed_at_ms, ended_at_ms) in held {
        if holds_players(match_state(&state)?, placed_at_ms, ended_at_ms, now_ms) {
            return Ok(TicketReadiness::InMatch(match_id));
        }
    }
    let rating = rating.zip(uncertainty);
    let rating = rating.map_or_else(Rating::default, |(rating, uncertainty)| Rating { rating, uncertainty });
    Ok(TicketReadiness::Ready { name, rating, party: current_party(tx, player).await? })
}

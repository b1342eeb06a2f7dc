//! Players as operators look for them.

use protocol::id::{MatchId, PlayerId};

use super::{Store, StoreError};
use crate::args;
use crate::db::Domain;

/// A player in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPlayer {
    /// Who.
    pub player: PlayerId,
    /// Its name.
    pub name: String,
    /// Unix milliseconds.
    pub created_at_ms: u64,
    /// Kept out until then; Unix milliseconds. It may be over.
    pub barred_until_ms: Option<u64>,
    /// The person was forgotten then; Unix milliseconds.
    pub erased_at_ms: Option<u64>,
}

/// A movement of one of a player's wallets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Of which currency.
    pub currency: String,
    /// In its wallet, from 1.
    pub number: u64,
    /// Plus was received, minus was given.
    pub amount: i64,
    /// Afterwards.
    pub balance: i64,
    /// What exactly happened.
    pub cause: String,
    /// Who did it.
    pub actor: String,
    /// The match that led to it.
    pub match_id: Option<MatchId>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

const BY_NAME: &str = "\
    SELECT player_id, name, created_at_ms, barred_until_ms, erased_at_ms FROM accounts
    WHERE lower(name) >= $1 AND lower(name) < $2 ORDER BY lower(name), player_id LIMIT $3";
const BY_ID: &str =
    "SELECT player_id, name, created_at_ms, barred_until_ms, erased_at_ms FROM accounts WHERE player_id = $1";
const MOVEMENTS: &str = "\
    SELECT currency, number, amount, balance, cause, actor, match_id, at_ms
    FROM postings JOIN journal ON journal.journal_id = postings.journal_id
    WHERE account = $1 AND number > 0 ORDER BY at_ms DESC, currency, number DESC LIMIT $2";

impl Store {
    /// Players whose name begins like this, whatever the case of ASCII letters.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn players_named(&self, begin: &str, limit: u32) -> Result<Vec<FoundPlayer>, StoreError> {
        let from = begin.to_ascii_lowercase();
        // Sorted by bytes: every name that begins so is below the one that goes on with the largest character.
        let until = format!("{from}\u{10FFFF}");
        let rows = self.db.all(Domain::Operations, BY_NAME, args![from, until, limit]).await?;
        Ok(rows.into_iter().map(found).collect())
    }

    /// A player as in a list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn found_player(&self, player: PlayerId) -> Result<Option<FoundPlayer>, StoreError> {
        Ok(self.db.optional(Domain::Operations, BY_ID, args![player]).await?.map(found))
    }

    /// Movements of all of a player's wallets, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn movements(&self, player: PlayerId, limit: u32) -> Result<Vec<Movement>, StoreError> {
        let rows: Vec<MovementRow> = self.db.all(Domain::Operations, MOVEMENTS, args![player, limit]).await?;
        let movement = |(currency, number, amount, balance, cause, actor, match_id, at_ms)| Movement {
            currency,
            number,
            amount,
            balance,
            cause,
            actor,
            match_id,
            at_ms,
        };
        Ok(rows.into_iter().map(movement).collect())
    }
}

type MovementRow = (String, u64, i64, i64, String, String, Option<MatchId>, u64);

type FoundRow = (PlayerId, String, u64, Option<u64>, Option<u64>);

fn found((player, name, created_at_ms, barred_until_ms, erased_at_ms): FoundRow) -> FoundPlayer {
    FoundPlayer { player, name, created_at_ms, barred_until_ms, erased_at_ms }
}

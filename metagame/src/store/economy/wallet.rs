//! What a player sees of the books.

use protocol::id::{MatchId, PlayerId};

use crate::args;
use crate::db::{Domain, StoreError};
use crate::store::Store;

/// What a player has of a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletBalance {
    /// Which.
    pub currency: String,
    /// Minor units; negative is owed.
    pub balance: i64,
    /// Movements so far.
    pub number: u64,
}

/// One movement of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletEntry {
    /// In the wallet, from 1.
    pub number: u64,
    /// Plus was received, minus was given.
    pub amount: i64,
    /// Afterwards.
    pub balance: i64,
    /// What sort of thing happened.
    pub kind: String,
    /// What exactly.
    pub cause: String,
    /// The match that led to it.
    pub match_id: Option<MatchId>,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// The chain's hash.
    pub hash: [u8; 32],
}

const ENTRIES: &str = "\
    SELECT number, amount, balance, kind, cause, match_id, at_ms, hash
    FROM postings JOIN journal ON journal.journal_id = postings.journal_id
    WHERE account = $1 AND currency = $2 AND number > 0 AND number < $3 ORDER BY number DESC LIMIT $4";

type EntryRow = (u64, i64, i64, String, String, Option<MatchId>, u64, [u8; 32]);

impl Store {
    /// A player's balances, by name of the currency; currencies that the player never had are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wallet(&self, player: PlayerId) -> Result<Vec<WalletBalance>, StoreError> {
        let sql = "SELECT currency, balance, number FROM wallets WHERE account = $1 ORDER BY currency";
        let rows: Vec<(String, i64, u64)> = self.database().all(Domain::Economy, sql, args![player]).await?;
        Ok(rows.into_iter().map(|(currency, balance, number)| WalletBalance { currency, balance, number }).collect())
    }

    /// Movements of a wallet, newest first, before the one with this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wallet_entries(
        &self,
        player: PlayerId,
        currency: String,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<WalletEntry>, StoreError> {
        let args = args![player, currency, before.unwrap_or(u64::MAX), limit];
        let rows: Vec<EntryRow> = self.database().all(Domain::Economy, ENTRIES, args).await?;
        let entry = |(number, amount, balance, kind, cause, match_id, at_ms, hash)| WalletEntry {
            number,
            amount,
            balance,
            kind,
            cause,
            match_id,
            at_ms,
            hash,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

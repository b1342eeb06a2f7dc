//! The keys of accounts, wrapped, and what is sealed under them.

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::db::{Domain, Tx};
use crate::vault::{AccountKey, Vault, WrappedKey};

/// Name of the setting that says which key file the database belongs to.
const VAULT: &str = "vault";

/// The key stands only for an account that exists and was not erased.
const KEEP: &str = "\
    INSERT INTO account_keys (player_id, wrapped, vault, created_at_ms)
    SELECT player_id, $2, $3, $4 FROM accounts WHERE player_id = $1
    ON CONFLICT (player_id) DO NOTHING";

impl Store {
    /// Binds an empty database to a key file; says to which it is bound.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_vault(&self, vault: &Vault) -> Result<String, StoreError> {
        let input = vault.name().to_owned();
        self.db
            .write(Domain::Operations, input, |tx, name| {
                Box::pin(async move {
                    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
                    tx.execute(sql, args![VAULT, name]).await?;
                    tx.one("SELECT value FROM settings WHERE name = $1", args![VAULT]).await
                })
            })
            .await
    }

    /// The key of an account, made if it has none. `None`: there is no such account, or it was erased; nothing may be kept
    /// of it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unreadable`] if the key was wrapped by another key file.
    pub async fn account_key(
        &self,
        vault: &Vault,
        player: PlayerId,
        now_ms: u64,
    ) -> Result<Option<AccountKey>, StoreError> {
        if let Some(wrapped) = self.wrapped_key(player).await? {
            return wrapped.map(|wrapped| unwrap(vault, player, &wrapped)).transpose();
        }
        let (_, fresh) = vault.new_account_key(player);
        let args = args![player, fresh.0, vault.name(), now_ms];
        self.db.statement(Domain::Identity, KEEP, args).await?;
        // Somebody else may have been first: theirs is the key.
        let kept = self.wrapped_key(player).await?.flatten();
        kept.map(|wrapped| unwrap(vault, player, &wrapped)).transpose()
    }

    /// Deletes the key of an account for ever: whatever was sealed under it cannot be read any more, and no new key is made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn shred_account_key(&self, player: PlayerId, now_ms: u64) -> Result<(), StoreError> {
        self.db
            .write(Domain::Identity, (player, now_ms), |tx, (player, now_ms)| Box::pin(shred(tx, *player, *now_ms)))
            .await
    }

    /// `None`: no key yet; `Some(None)`: shredded.
    async fn wrapped_key(&self, player: PlayerId) -> Result<Option<Option<WrappedKey>>, StoreError> {
        let sql = "SELECT wrapped, vault FROM account_keys WHERE player_id = $1";
        let row: Option<(Option<Vec<u8>>, String)> = self.db.optional(Domain::Identity, sql, args![player]).await?;
        Ok(row.map(|(wrapped, _)| wrapped.map(WrappedKey)))
    }
}

/// Keeps the key of an account that is made in the same transaction.
pub(super) async fn keep_account_key(
    tx: &mut Tx,
    player: PlayerId,
    wrapped: &WrappedKey,
    vault: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    tx.execute(KEEP, args![player, wrapped.0, vault, now_ms]).await.map(drop)
}

/// Deletes the key of an account, within the transaction that erases it. The row stays: it keeps a new key from being made.
pub(super) async fn shred(tx: &mut Tx, player: PlayerId, now_ms: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO account_keys (player_id, wrapped, vault, created_at_ms, shredded_at_ms)
               SELECT player_id, NULL, '', $2, $2 FROM accounts WHERE player_id = $1
               ON CONFLICT (player_id) DO UPDATE SET wrapped = NULL, shredded_at_ms = excluded.shredded_at_ms";
    tx.execute(sql, args![player, now_ms]).await.map(drop)
}

fn unwrap(vault: &Vault, player: PlayerId, wrapped: &WrappedKey) -> Result<AccountKey, StoreError> {
    let fault = |_| StoreError::Unreadable(format!("the key of account {player} was not wrapped by this key file"));
    vault.account_key(player, wrapped).map_err(fault)
}

//! The keys of many accounts at once.

use std::collections::BTreeMap;

use protocol::id::PlayerId;

use crate::args;
use crate::db::{Domain, List, Sql, StoreError};
use crate::store::Store;
use crate::vault::{AccountKey, Vault, WrappedKey};

const READ: &str = "\
    SELECT accounts.player_id, account_keys.wrapped, account_keys.player_id FROM accounts
    LEFT JOIN account_keys ON account_keys.player_id = accounts.player_id WHERE accounts.player_id IN blobs($1)";
const MAKE: Sql = Sql::by_engine(
    "INSERT INTO account_keys (player_id, wrapped, vault, created_at_ms)
     SELECT unhex(id.value), unhex(fresh.value), $3, $4 FROM json_each($1) AS id JOIN json_each($2) AS fresh ON fresh.key = id.key
     WHERE true ON CONFLICT (player_id) DO NOTHING",
    "INSERT INTO account_keys (player_id, wrapped, vault, created_at_ms)
     SELECT given.id, given.fresh, $3, $4 FROM unnest($1::bytea[], $2::bytea[]) AS given (id, fresh)
     ON CONFLICT (player_id) DO NOTHING",
);
/// Keys that are made with one statement: on SQLite each is looked up among all of them.
const MAKE_MAX: usize = 64;

impl Store {
    /// The keys of accounts, made where they have none. Who is not in it has no account, or was erased: nothing may be kept of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account_keys(
        &self,
        vault: &Vault,
        players: &[PlayerId],
        now_ms: u64,
    ) -> Result<BTreeMap<PlayerId, AccountKey>, StoreError> {
        if players.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut rows = self.wrapped_keys(players).await?;
        let keyless: Vec<PlayerId> = rows.iter().filter(|row| row.2.is_none()).map(|row| row.0).collect();
        for some in keyless.chunks(MAKE_MAX) {
            let fresh: Vec<Vec<u8>> = some.iter().map(|player| vault.new_account_key(*player).1.0).collect();
            let args = args![List(some), List(&fresh), vault.name(), now_ms];
            self.db.statement(Domain::Telemetry, MAKE, args).await?;
        }
        if !keyless.is_empty() {
            // Somebody else may have been first: theirs is the key.
            rows = self.wrapped_keys(players).await?;
        }
        let wrapped = rows.into_iter().filter_map(|(player, wrapped, _)| Some((player, WrappedKey(wrapped?))));
        // One that does not open is that account's trouble, not the others'.
        let open = |(player, wrapped): (PlayerId, WrappedKey)| match vault.account_key(player, &wrapped) {
            Ok(key) => Some((player, key)),
            Err(error) => {
                tracing::error!(%player, %error, "the key of an account was not wrapped by this key file");
                None
            }
        };
        Ok(wrapped.filter_map(open).collect())
    }

    async fn wrapped_keys(&self, players: &[PlayerId]) -> Result<Vec<KeyRow>, StoreError> {
        self.db.all(Domain::Telemetry, READ, args![List(players)]).await
    }
}

/// The account, its key unless that was shredded, and the account again if there is a row of keys.
type KeyRow = (PlayerId, Option<Vec<u8>>, Option<PlayerId>);

//! The allocator's public keys, kept so that results survive its restart.

use super::{ALLOCATOR_KEYS_MAX, Store, StoreError};
use crate::args;
use crate::db::{Domain, Tx};

impl Store {
    /// Public keys of the allocator that were seen, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocator_keys(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let sql = "SELECT public_key FROM allocator_keys ORDER BY seen_at_ms DESC, public_key";
        self.db.all(Domain::Matches, sql, args![]).await
    }

    /// Notes public keys of the allocator and forgets all but the newest [`ALLOCATOR_KEYS_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retain_allocator_keys(&self, keys: Vec<[u8; 32]>, now_ms: u64) -> Result<(), StoreError> {
        let input = (keys, now_ms);
        self.db.write(Domain::Matches, input, |tx, (keys, now_ms)| Box::pin(retain(tx, keys, *now_ms))).await
    }
}

async fn retain(tx: &mut Tx, keys: &[[u8; 32]], now_ms: u64) -> Result<(), StoreError> {
    for key in keys {
        tx.execute(
            "INSERT INTO allocator_keys (public_key, seen_at_ms) VALUES ($1, $2)
             ON CONFLICT (public_key) DO UPDATE SET seen_at_ms = excluded.seen_at_ms",
            args![key, now_ms],
        )
        .await?;
    }
    tx.execute(
        "DELETE FROM allocator_keys WHERE public_key NOT IN
         (SELECT public_key FROM allocator_keys ORDER BY seen_at_ms DESC, public_key LIMIT $1)",
        args![ALLOCATOR_KEYS_MAX as u64],
    )
    .await?;
    Ok(())
}

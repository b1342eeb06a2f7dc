//! The allocator's public keys, kept so that results survive its restart.

use super::{SqliteStore, bytes, int};
use crate::store::{ALLOCATOR_KEYS_MAX, StoreError};

pub(super) async fn allocator_keys(store: &SqliteStore) -> Result<Vec<[u8; 32]>, StoreError> {
    let keys: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT public_key FROM allocator_keys ORDER BY seen_at_ms DESC, public_key")
            .fetch_all(&store.readers)
            .await?;
    keys.iter().map(|key| bytes(key)).collect()
}

pub(super) async fn retain_allocator_keys(
    store: &SqliteStore,
    keys: Vec<[u8; 32]>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    for key in &keys {
        sqlx::query(
            "INSERT INTO allocator_keys (public_key, seen_at_ms) VALUES (?, ?)
             ON CONFLICT (public_key) DO UPDATE SET seen_at_ms = excluded.seen_at_ms",
        )
        .bind(&key[..])
        .bind(int(now_ms))
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "DELETE FROM allocator_keys WHERE public_key NOT IN
         (SELECT public_key FROM allocator_keys ORDER BY seen_at_ms DESC, public_key LIMIT ?)",
    )
    .bind(i64::try_from(ALLOCATOR_KEYS_MAX).unwrap_or(i64::MAX))
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

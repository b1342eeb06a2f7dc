//! What operators decide while metagame runs.

use super::SqliteStore;
use crate::store::StoreError;

pub(super) async fn setting(store: &SqliteStore, name: &str) -> Result<Option<String>, StoreError> {
    let query = sqlx::query_scalar("SELECT value FROM settings WHERE name = ?").bind(name);
    Ok(query.fetch_optional(&store.readers).await?)
}

pub(super) async fn set_setting(store: &SqliteStore, name: &str, value: String) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(&store.writer)
    .await?;
    Ok(())
}

//! Catalogs by version.

use crate::args;
use crate::db::{Domain, StoreError};
use crate::store::Store;

impl Store {
    /// Keeps a catalog under its version, unless there is one; the one that is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_catalog(&self, version: u32, source: String, now_ms: u64) -> Result<String, StoreError> {
        let db = self.database();
        let sql = "INSERT INTO catalogs (version, source, seen_at_ms) VALUES ($1, $2, $3)
                   ON CONFLICT (version) DO NOTHING";
        db.statement(Domain::Operations, sql, args![version, source, now_ms]).await?;
        db.one(Domain::Operations, "SELECT source FROM catalogs WHERE version = $1", args![version]).await
    }
}

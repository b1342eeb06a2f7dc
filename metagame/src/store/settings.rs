//! What operators decide while metagame runs.

use super::{Store, StoreError};
use crate::args;
use crate::db::Domain;

impl Store {
    /// What operators have decided under this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.db.optional(Domain::Operations, "SELECT value FROM settings WHERE name = $1", args![name]).await
    }

    /// Keeps what operators decide under this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_setting(&self, name: &'static str, value: String) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.db.statement(Domain::Operations, sql, args![name, value]).await.map(drop)
    }

    /// The name of this installation, made with its database: what tells its keys in a shared Redis from those of others.
    /// `fresh` is what it is called from now on if it has no name yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn installation(&self, fresh: String) -> Result<String, StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ('installation', $1) ON CONFLICT (name) DO NOTHING";
        self.db.statement(Domain::Operations, sql, args![fresh]).await?;
        self.db.one(Domain::Operations, "SELECT value FROM settings WHERE name = 'installation'", args![]).await
    }
}

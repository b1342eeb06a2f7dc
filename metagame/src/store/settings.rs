//! What operators decide while metagame runs.

use super::acts::note;
use super::{Order, Store, StoreError};
use crate::args;
use crate::db::{Domain, Tx};

impl Store {
    /// What operators have decided under this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.db.optional(Domain::Operations, "SELECT value FROM settings WHERE name = $1", args![name]).await
    }

    /// Keeps what operators decide under this name, if what was decided before is still `before`; whether it was. Two
    /// operators at once, at two instances, do not undo each other's decisions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn swap_setting(
        &self,
        name: &'static str,
        before: Option<String>,
        value: String,
        (order, act): (Order, &'static str),
    ) -> Result<bool, StoreError> {
        let input = (before, value, order);
        self.db
            .write(Domain::Operations, input, move |tx, (before, value, order)| {
                Box::pin(async move {
                    let swapped = swap_setting(tx, name, before.as_deref(), value).await?;
                    if swapped {
                        note(tx, order, act, &format!("setting:{name}"), value).await?;
                    }
                    Ok(swapped)
                })
            })
            .await
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

async fn swap_setting(tx: &mut Tx, name: &str, before: Option<&str>, value: &str) -> Result<bool, StoreError> {
    let kept: Option<String> = tx.optional("SELECT value FROM settings WHERE name = $1", args![name]).await?;
    if kept.as_deref() == Some(value) {
        // Also when this runs again because nobody knew whether it was committed.
        return Ok(true);
    }
    if kept.as_deref() != before {
        return Ok(false);
    }
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, args![name, value]).await?;
    Ok(true)
}

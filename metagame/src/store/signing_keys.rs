//! The keys that sign access tokens.

use super::acts::note;
use super::{Order, Store, StoreError};
use crate::args;
use crate::db::{Domain, Tx};

/// A key to publish.
#[derive(Clone)]
pub struct NewSigningKey {
    /// Its name.
    pub kid: String,
    /// Its public half.
    pub public_key: [u8; 32],
    /// Its secret half, sealed.
    pub sealed: Vec<u8>,
    /// From when it signs; Unix milliseconds.
    pub signs_from_ms: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// A key that is published.
#[derive(Clone)]
pub struct StoredSigningKey {
    /// Its name.
    pub kid: String,
    /// Its public half.
    pub public_key: [u8; 32],
    /// Its secret half, sealed.
    pub sealed: Vec<u8>,
    /// From when it signs; Unix milliseconds.
    pub signs_from_ms: u64,
}

impl Store {
    /// The keys that are published, by their turn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signing_keys(&self) -> Result<Vec<StoredSigningKey>, StoreError> {
        let sql = "SELECT kid, public_key, sealed, signs_from_ms FROM signing_keys ORDER BY signs_from_ms, kid";
        let rows = self.db.all(Domain::Identity, sql, args![]).await?;
        let stored =
            |(kid, public_key, sealed, signs_from_ms)| StoredSigningKey { kid, public_key, sealed, signs_from_ms };
        Ok(rows.into_iter().map(stored).collect())
    }

    /// Publishes a key, if `newest` still is the one whose turn is last: of several instances that see that a key is due, one
    /// makes it. Says whether it is published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_signing_key(
        &self,
        key: NewSigningKey,
        newest: Option<String>,
        order: Option<Order>,
    ) -> Result<bool, StoreError> {
        self.db
            .write(Domain::Identity, (key, newest, order), |tx, (key, newest, order)| {
                Box::pin(async move {
                    let added = add(tx, key, newest.as_deref()).await?;
                    if let Some(order) = order.as_ref().filter(|_| added) {
                        note(tx, order, "rotate-signing-key", &format!("key:{}", key.kid), "{}").await?;
                    }
                    Ok(added)
                })
            })
            .await
    }

    /// Publishes a key no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_signing_key(&self, kid: String) -> Result<(), StoreError> {
        let sql = "DELETE FROM signing_keys WHERE kid = $1";
        self.db.statement(Domain::Identity, sql, args![kid]).await.map(drop)
    }
}

async fn add(tx: &mut Tx, key: &NewSigningKey, newest: Option<&str>) -> Result<bool, StoreError> {
    let sql = "SELECT kid FROM signing_keys ORDER BY signs_from_ms DESC, kid LIMIT 1";
    let now: Option<String> = tx.optional(sql, args![]).await?;
    if now.as_ref() == Some(&key.kid) {
        return Ok(true);
    }
    if now.as_deref() != newest {
        return Ok(false);
    }
    let sql =
        "INSERT INTO signing_keys (kid, public_key, sealed, signs_from_ms, created_at_ms) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (kid) DO NOTHING";
    let args = args![key.kid, key.public_key, key.sealed, key.signs_from_ms, key.now_ms];
    tx.execute(sql, args).await.map(|rows| rows > 0)
}
